"""Models in GGUF files answer as the checkpoints do that they were made of.

The files are written here, by what llama.cpp's converter does to names and values.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf import quants
from safetensors.torch import load_file, save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.model_loader.hub import resolve_model_path
from tests.model_loader.gguf_writer import Stored, stored, write_gguf
from tests.models.model_helpers import HandDriver, load_tiny, random_tokens

State = dict[str, torch.Tensor]
PROMPT = random_tokens(40, 199)
SIZES = {
    "vocab_size": 199,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
SANDWICH = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
HEADS = {"head_dim": 16}
WINDOW = {**HEADS, "sliding_window": 8, "query_pre_attn_scalar": 16}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "Llama", {**HEADS}),
    "llama tied": ("llama", "Llama", {**HEADS, "tie_word_embeddings": True}),
    "llama with biases": ("llama", "Llama", {**HEADS, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("llama", "Mistral", {**HEADS, "sliding_window": None}),
    "qwen2": ("qwen2", "Qwen2", {}),
    "qwen3": ("qwen3", "Qwen3", {**HEADS}),
    "gemma": ("gemma", "Gemma", {**HEADS}),
    "gemma2": ("gemma2", "Gemma2", {**WINDOW}),
    "gemma3": ("gemma3", "Gemma3", {**WINDOW, "num_hidden_layers": 7}),
    "phi3": ("phi3", "Phi3", {"sliding_window": 8}),
    "olmo2": ("olmo2", "Olmo2", {}),
}


def make(folder: Path, name: str) -> State:
    """A random checkpoint of transformers; returns its tensors."""
    import transformers

    architecture, kind, changes = FAMILIES[name]
    text = "TextConfig" if kind == "Gemma3" else "Config"
    config = getattr(transformers, kind + text)(**{**SIZES, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            middle = 0.0 if key.endswith("bias") or architecture.startswith("gemma") else 1.0
            scale = 1.6 * parameter.shape[-1] ** -0.5
            parameter.copy_(noise * scale if parameter.dim() == 2 else noise * 0.2 + middle)
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def tensors_of(architecture: str, state: State) -> State:
    """The same tensors under the names, and with the values, that the file has."""
    names = {**NAMES, **(SANDWICH if architecture in ("gemma2", "gemma3", "olmo2") else {})}
    result = {}
    for key, tensor in state.items():
        new = key
        for old, replacement in names.items():
            new = new.replace(old, replacement)
        if architecture == "llama" and ("attn_q." in new or "attn_k." in new):
            heads = 4 if "attn_q." in new else 2
            halves = tensor.reshape(heads, 2, -1, *tensor.shape[1:])
            tensor = halves.transpose(1, 2).reshape(tensor.shape)
        if architecture.startswith("gemma") and "norm" in new:
            tensor = tensor + 1
        result[new] = tensor
    return result


def metadata_of(architecture: str, config: dict[str, Any]) -> dict[str, Any]:
    keys = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps",
        "attention.sliding_window": "sliding_window",
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
    }
    found = {
        f"{architecture}.{key}": config[name] for key, name in keys.items() if config.get(name)
    }
    found["general.architecture"] = architecture
    return {**found, "general.file_type": 0}


Pack = Callable[[str, torch.Tensor], Stored]


def as_it_is(name: str, tensor: torch.Tensor) -> Stored:
    return stored(tensor)


def convert(folder: Path, name: str, state: State, pack: Pack = as_it_is, **more: Any) -> Path:
    architecture = FAMILIES[name][0]
    config = json.loads((folder / "config.json").read_text())
    tensors = {key: pack(key, value) for key, value in tensors_of(architecture, state).items()}
    metadata = {**metadata_of(architecture, config), **more}
    extra = metadata.pop("tensors", {})
    return write_gguf(folder / "model.gguf", metadata, {**tensors, **extra})


def answer(path: Path, dtype: str = "float32") -> torch.Tensor:
    driver = HandDriver(load_tiny(path, dtype=dtype), dtype=getattr(torch, dtype))
    return driver.step({"p": PROMPT})["p"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_answer_is_that_of_the_checkpoint(tmp_path: Path, name: str) -> None:
    path = convert(tmp_path, name, make(tmp_path, name))
    torch.testing.assert_close(answer(path), answer(tmp_path), rtol=1e-4, atol=1e-4)


def quantized(kind: gguf.GGMLQuantizationType) -> Pack:
    """Matrices of layers as ``kind``, by the gguf package; the rest float32."""

    def pack(name: str, tensor: torch.Tensor) -> Stored:
        if tensor.dim() < 2 or not name.startswith("blk"):
            return stored(tensor)
        data = quants.quantize(tensor.numpy(), kind)
        return Stored(tuple(tensor.shape), int(kind), data.tobytes())

    return pack


def rounded(tensors: State, kind: gguf.GGMLQuantizationType) -> State:
    """What the quantized matrices stand for."""
    result = {}
    for name, tensor in tensors.items():
        layer = tensor.dim() == 2 and "layers" in name
        data = quants.quantize(tensor.numpy(), kind) if layer else None
        result[name] = tensor if data is None else torch.from_numpy(quants.dequantize(data, kind))
    return result


KINDS = [gguf.GGMLQuantizationType[name] for name in ("Q4_0", "Q4_1", "Q5_1", "Q8_0")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_quantized_matrices_are_what_they_stand_for(
    tmp_path: Path, kind: gguf.GGMLQuantizationType
) -> None:
    state = make(tmp_path, "llama")
    path = convert(tmp_path, "llama", state, quantized(kind))
    exact = answer(path)
    save_file(rounded(state, kind), tmp_path / "model.safetensors")
    torch.testing.assert_close(exact, answer(tmp_path), rtol=1e-4, atol=1e-4)
    close = answer(path, "bfloat16")
    assert (close - exact).norm() < 0.05 * exact.norm()


def test_llama_3_scaling_is_a_tensor(tmp_path: Path) -> None:
    state = make(tmp_path, "llama")
    factors = torch.linspace(1, 8, 8)
    more = {"tensors": {"rope_freqs.weight": stored(factors)}}
    path = convert(tmp_path, "llama", state, **more)
    config = json.loads((tmp_path / "config.json").read_text())
    config["rope_parameters"] = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "long_factor": factors.tolist(),
        "short_factor": factors.tolist(),
        "attention_factor": 1.0,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.testing.assert_close(answer(path), answer(tmp_path), rtol=1e-4, atol=1e-4)


def test_unused_tensors_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = {"tensors": {"blk.0.strange.weight": stored(torch.ones(4))}}
    answer(convert(tmp_path, "llama", make(tmp_path, "llama"), **more))
    assert "1 tensors of the checkpoint are not used: blk.0.strange.weight" in caplog.text


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    state = make(tmp_path, "llama")
    del state["model.layers.1.mlp.up_proj.weight"]
    path = convert(tmp_path, "llama", state)
    with pytest.raises(ModelLoadError, match=r"missing tensor model\.layers\.1\.mlp\.up_proj"):
        load_tiny(path)


def test_heads_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = make(tmp_path, "llama")
    path = convert(tmp_path, "llama", state, **{"llama.attention.head_count": 48})
    with pytest.raises(ModelLoadError, match=r"blk\.0\.attn_q|num_attention_heads 48"):
        load_tiny(path)


def test_ends_of_turns_end_answers(tmp_path: Path) -> None:
    more = {"tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.eot_token_id": 5}
    path = convert(tmp_path, "llama", make(tmp_path, "llama"), **more)
    assert load_model_config(str(path)).eos_token_ids == (2, 5)


@pytest.mark.parametrize("load_format", ["auto", "gguf"])
def test_a_folder_with_a_gguf_file_is_that_file(tmp_path: Path, load_format: str) -> None:
    path = convert(tmp_path, "llama", make(tmp_path, "llama"))
    if load_format == "auto":
        (tmp_path / "model.safetensors").unlink()
    assert resolve_model_path(str(tmp_path), load_format=load_format) == str(path)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="has no GGUF file"):
        resolve_model_path(str(tmp_path), load_format="gguf")


def test_a_gguf_option_may_describe_a_gguf_file(tmp_path: Path) -> None:
    path = convert(tmp_path, "llama", make(tmp_path, "llama"))
    assert load_model_config(str(path), quantization="gguf").quantization is None
    with pytest.raises(ValueError, match="the checkpoint's own is 'gguf'"):
        load_model_config(str(path), quantization="awq")


def test_a_folder_with_other_weights_is_a_folder(tmp_path: Path) -> None:
    convert(tmp_path, "llama", make(tmp_path, "llama"))
    assert resolve_model_path(str(tmp_path)) == str(tmp_path)
