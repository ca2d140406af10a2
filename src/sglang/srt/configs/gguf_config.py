"""The configuration that a GGUF file's metadata stand for, as ``config.json`` would have it.

Keys of the metadata: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
What they leave out, the shapes of the tensors tell, and what llama.cpp knows by heart about an
architecture stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_file import GGUFFile, open_gguf

Json = dict[str, Any]

_COMMON = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps",
    "rope.freq_base": "rope_theta",
}

_FLOAT32_FILE = 0
"""``general.file_type`` of files in which every tensor is float32."""


def load_gguf_config(path: Path) -> Json:
    """The configuration of the model in the GGUF file ``path``.

    Raises ModelLoadError for a damaged file and for an architecture that is not known.
    """
    file = open_gguf(path)
    architecture = file.architecture
    if architecture not in _ARCHITECTURES:
        raise ModelLoadError(
            f"{path}: GGUF files of the architecture {architecture!r} are not implemented yet; "
            f"known: {', '.join(sorted(_ARCHITECTURES))}"
        )
    name, complete = _ARCHITECTURES[architecture]
    config = _common(file)
    config["architectures"] = [name]
    complete(file, config)
    return config


def number(file: GGUFFile, key: str) -> Any:
    """``key`` of the file's architecture, a number, None if it is missing.

    Raises ModelLoadError if layers have different ones.
    """
    full = f"{file.architecture}.{key}"
    value = file.metadata.get(full)
    if isinstance(value, np.ndarray):
        if value.size == 0 or (value != value[0]).any():
            raise ModelLoadError(f"{file.path}: '{full}' differs by layer: not implemented yet")
        value = value[0].item()
    if value is not None and not isinstance(value, (int, float)):
        raise ModelLoadError(f"{file.path}: '{full}' must be a number, got {value!r}")
    return value


def _common(file: GGUFFile) -> Json:
    config: Json = {}
    for key, name in _COMMON.items():
        value = number(file, key)
        if value is not None:
            config[name] = value
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise ModelLoadError(f"{file.path}: missing tensor token_embd.weight")
    config["model_type"] = file.architecture
    config["vocab_size"] = embedding.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in file.tensors
    all_float32 = file.metadata.get("general.file_type") == _FLOAT32_FILE
    config["torch_dtype"] = "float32" if all_float32 else "bfloat16"
    ends = [file.metadata.get(f"tokenizer.ggml.{role}_token_id") for role in ("eos", "eot", "eom")]
    config["eos_token_id"] = [token for token in ends if token is not None]
    config["bos_token_id"] = file.metadata.get("tokenizer.ggml.bos_token_id")
    _rotary(file, config)
    return config


def _rotary(file: GGUFFile, config: Json) -> None:
    """The scaling of rotary frequencies: by metadata, or by tensors with a factor for each."""
    kind = file.metadata.get(f"{file.architecture}.rope.scaling.type")
    factor = number(file, "rope.scaling.factor")
    trained = number(file, "rope.scaling.original_context_length")
    if kind in ("linear", "yarn") and factor:
        config["rope_scaling"] = {"rope_type": kind, "factor": factor}
        if trained:
            config["rope_scaling"]["original_max_position_embeddings"] = trained
    elif kind not in (None, "none", "linear", "yarn", "longrope"):
        raise ModelLoadError(f"{file.path}: rotary scaling {kind!r} is not implemented yet")
    every = _factors(file, "rope_freqs.weight")
    short, long = (_factors(file, f"rope_factors_{kind}.weight") for kind in ("short", "long"))
    if every:
        short = long = every
    if short and long:
        config["rope_scaling"] = {
            "rope_type": "longrope",
            "short_factor": short,
            "long_factor": long,
            "factor": 1.0,
            "attention_factor": number(file, "rope.scaling.attn_factor") or 1.0,
        }
        if trained and not every:
            config["original_max_position_embeddings"] = trained


def _factors(file: GGUFFile, name: str) -> list[float]:
    tensor = file.tensors.get(name)
    if tensor is None:
        return []
    if tensor.type.name != "F32" or len(tensor.shape) != 1:
        raise ModelLoadError(f"{file.path}: tensor {name} must be a list of float32")
    values: list[float] = tensor.data.view(np.float32).flatten().tolist()
    return values


# -- what is special to an architecture -------------------------------------------------------


def _has(file: GGUFFile, part: str) -> bool:
    return f"blk.0.{part}" in file.tensors


def _nothing(file: GGUFFile, config: Json) -> None:
    pass


def _llama(file: GGUFFile, config: Json) -> None:
    if number(file, "expert_count"):
        config["architectures"] = ["MixtralForCausalLM"]
        config["num_local_experts"] = number(file, "expert_count")
        config["num_experts_per_tok"] = number(file, "expert_used_count")
    config["attention_bias"] = _has(file, "attn_q.bias")
    config["mlp_bias"] = _has(file, "ffn_gate.bias")


def _mixture(file: GGUFFile, config: Json) -> None:
    config["num_experts"] = number(file, "expert_count")
    config["num_experts_per_tok"] = number(file, "expert_used_count")
    config["moe_intermediate_size"] = number(file, "expert_feed_forward_length")
    config["norm_topk_prob"] = file.architecture == "qwen3moe"
    config.setdefault("intermediate_size", config["moe_intermediate_size"])
    if file.architecture == "qwen2moe":
        config["shared_expert_intermediate_size"] = (
            number(file, "expert_shared_feed_forward_length") or config["intermediate_size"]
        )


def _granite(file: GGUFFile, config: Json) -> None:
    config["attention_bias"] = _has(file, "attn_q.bias")
    config["embedding_multiplier"] = number(file, "embedding_scale") or 1.0
    config["residual_multiplier"] = number(file, "residual_scale") or 1.0
    config["logits_scaling"] = number(file, "logit_scale") or 1.0
    scale = number(file, "attention.scale")
    if scale:
        config["attention_multiplier"] = scale


def _gemma(file: GGUFFile, config: Json) -> None:
    config["hidden_activation"] = "gelu_pytorch_tanh"


def _gemma2(file: GGUFFile, config: Json) -> None:
    _gemma(file, config)
    config["attn_logit_softcapping"] = number(file, "attn_logit_softcapping") or 50.0
    config["final_logit_softcapping"] = number(file, "final_logit_softcapping") or 30.0
    config["sliding_window"] = number(file, "attention.sliding_window") or 4096
    config["query_pre_attn_scalar"] = _query_scalar(config, layers_of_largest=46)


def _gemma3(file: GGUFFile, config: Json) -> None:
    _gemma(file, config)
    config.setdefault("rope_theta", 1e6)
    config["rope_local_base_freq"] = number(file, "rope.freq_base_swa") or 10_000.0
    window = number(file, "attention.sliding_window")
    config["sliding_window"] = window or config.get("max_position_embeddings")
    config["sliding_window_pattern"] = 6 if window else 1
    config["query_pre_attn_scalar"] = _query_scalar(config, layers_of_largest=62)
    config["final_logit_softcapping"] = number(file, "final_logit_softcapping")


def _query_scalar(config: Json, *, layers_of_largest: int) -> Any:
    """Queries are scaled by the size of a head, but for the models of 27 billion parameters."""
    if config.get("num_hidden_layers") == layers_of_largest:
        return config.get("hidden_size", 0) / config.get("num_attention_heads", 1)
    return config.get("head_dim")


def _phi3(file: GGUFFile, config: Json) -> None:
    config["sliding_window"] = number(file, "attention.sliding_window") or None
    rotated, hidden = number(file, "rope.dimension_count"), config.get("hidden_size")
    heads = config.get("num_attention_heads")
    if rotated and hidden and heads:
        config["partial_rotary_factor"] = rotated / (hidden // heads)


_ARCHITECTURES: dict[str, tuple[str, Callable[[GGUFFile, Json], None]]] = {
    "gemma": ("GemmaForCausalLM", _gemma),
    "gemma2": ("Gemma2ForCausalLM", _gemma2),
    "gemma3": ("Gemma3ForCausalLM", _gemma3),
    "granite": ("GraniteForCausalLM", _granite),
    "llama": ("LlamaForCausalLM", _llama),
    "olmo2": ("Olmo2ForCausalLM", _nothing),
    "phi3": ("Phi3ForCausalLM", _phi3),
    "qwen2": ("Qwen2ForCausalLM", _nothing),
    "qwen2moe": ("Qwen2MoeForCausalLM", _mixture),
    "qwen3": ("Qwen3ForCausalLM", _nothing),
    "qwen3moe": ("Qwen3MoeForCausalLM", _mixture),
}
"""By llama.cpp's names: the class that runs the model, and what completes its configuration."""
