"""Latent attention beyond equality: what is kept of a token, and what its pages read and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.load import load_pooled_model
from sglang.srt.models.registry import ModelRegistry
from sglang.srt.server_args import ServerArgs
from tests.model_loader.quantized_writers import fp8
from tests.models.family_helpers import make_family
from tests.models.mla_cases import MLA_CASES
from tests.models.model_helpers import HandDriver, load_tiny, random_tokens

V3: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 56,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 96,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "n_shared_experts": 2,
    "moe_intermediate_size": 8,
    "first_k_dense_replace": 3,
    "n_group": 4,
    "topk_group": 2,
}
YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0}


def parse(architecture: str = "DeepseekV3ForCausalLM", **fields: Any) -> DecoderConfig:
    config = {key: value for key, value in {**V3, **fields}.items() if value is not ...}
    facts = ModelRegistry.models[architecture].parse_config(config)
    assert isinstance(facts, DecoderConfig)
    return facts


def test_one_row_is_kept_of_a_token() -> None:
    facts = parse()
    assert (facts.num_heads, facts.num_kv_heads, facts.head_dim) == (4, 1, 576)
    assert KVPool.bytes_per_slot(6, 1, 576, torch.bfloat16, latent_dim=512) == 6 * 576 * 2


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.bfloat16, 1152), (torch.int8, 580), (torch.float8_e4m3fn, 576)]
)
def test_pool_has_the_memory_that_it_counts(dtype: torch.dtype, size: int) -> None:
    taken = 0

    def allocate(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        nonlocal taken
        taken += torch.empty(shape, dtype=dtype).nbytes
        return torch.empty(shape, dtype=dtype)

    pool = KVPool(3, 10, 1, 576, dtype, allocate, latent_dim=512)
    assert taken == 10 * KVPool.bytes_per_slot(3, 1, 576, dtype, latent_dim=512) == 30 * size
    for cache in pool.layers:
        assert cache.v.shape == (10, 1, 512)
        assert cache.v.data_ptr() == cache.k.data_ptr()


def test_a_stretched_context_lengthens_queries_and_keys() -> None:
    assert parse().attention_scale == pytest.approx(192**-0.5)
    plain = parse(rope_scaling=YARN)
    assert plain.attention_scale == pytest.approx(192**-0.5)
    longer = parse(rope_scaling={**YARN, "mscale_all_dim": 1.0})
    assert longer.attention_scale == pytest.approx(192**-0.5 * 1.3688879454**2)
    rope = longer.ropes[0]
    assert rope is not None
    assert rope.attention_factor == pytest.approx(1.0)


def test_experts_begin_after_the_dense_layers() -> None:
    moe = parse().moe
    assert moe is not None
    assert moe.layers == {3, 4, 5}
    assert moe.shared_size == 16


def test_without_experts_all_layers_are_dense() -> None:
    assert parse("DeepseekV2ForCausalLM", n_routed_experts=None).moe is None


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("DeepseekV3ForCausalLM", {"kv_lora_rank": ...}, "lacks 'kv_lora_rank'"),
        ("DeepseekV3ForCausalLM", {"qk_rope_head_dim": 0}, "'qk_rope_head_dim' must be a positive"),
        ("DeepseekV3ForCausalLM", {"qk_rope_head_dim": 7}, "rotary dimension must be even"),
        (
            "DeepseekV3ForCausalLM",
            {"q_lora_rank": None, "attention_bias": True},
            "'attention_bias' without 'q_lora_rank' is not implemented yet",
        ),
        ("DeepseekV3ForCausalLM", {"scoring_func": "softmax"}, "no DeepSeek V3 with scoring_func"),
        ("DeepseekV2ForCausalLM", {"topk_method": "noaux_tc"}, "no DeepSeek V2 with topk_method"),
        ("Glm4MoeLiteForCausalLM", {"mlp_layer_types": ["sparse"]}, "must list 6 layers"),
    ],
)
def test_what_is_not_built_is_refused(
    architecture: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        parse(architecture, **fields)


@pytest.mark.parametrize("kv_dtype", KV_CACHE_DTYPES)
def test_rows_of_bytes_are_recorded_too(kv_dtype: str, tmp_path: Path) -> None:
    make_family(tmp_path, MLA_CASES["youtu"])
    args = ServerArgs(
        model_path=str(tmp_path), dtype="bfloat16", device="cpu", kv_cache_dtype=kv_dtype
    )
    engine = build_engine(args, str(tmp_path))
    assert engine.info["kv_cache_dtype"] == str(KV_CACHE_DTYPES[kv_dtype]).removeprefix("torch.")
    assert engine.runner._forward.replay is not None


def test_an_embedding_is_the_last_hidden_state(tmp_path: Path) -> None:
    oracle = make_family(tmp_path, MLA_CASES["deepseek-v3"])
    config = load_model_config(str(tmp_path), dtype="float32", is_embedding=True)
    model = load_pooled_model(config, device=torch.device("cpu"), kernels=ReferenceKernels())
    prompt = random_tokens(30, 199)
    batch = HandDriver(model.transformer).make_batch({"p": prompt})
    with torch.inference_mode():
        found = model.answer(model.transformer.forward(batch)[-1:].float())[0]
        hidden = oracle.base_model(torch.tensor([prompt])).last_hidden_state[0, -1]
    torch.testing.assert_close(found, F.normalize(hidden, dim=-1), atol=1e-4, rtol=0)


def test_matrices_in_blocks_of_fp8_are_those_they_stand_for(tmp_path: Path) -> None:
    """As DeepSeek publishes V3: the projections in blocks, all else in full."""
    make_family(tmp_path, MLA_CASES["deepseek-v3"])
    settings, write = fp8("block", (16, 24))
    path, prompt = tmp_path / "model.safetensors", random_tokens(40, 199)
    stored, plain = {}, {}
    for name, tensor in load_file(path).items():
        stored[name] = plain[name] = tensor
        if tensor.dim() == 2 and name.endswith("_proj.weight"):
            written = write(tensor)
            plain[name] = written.matrix
            del stored[name]
            prefix = name.removesuffix("weight")
            stored |= {prefix + part: value for part, value in written.tensors.items()}
    save_file(plain, path, metadata={"format": "pt"})
    expected = HandDriver(load_tiny(tmp_path)).step({"p": prompt})["p"]
    save_file(stored, path, metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = settings
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = HandDriver(load_tiny(tmp_path)).step({"p": prompt})["p"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
