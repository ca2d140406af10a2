"""The decoder equals transformers on tiny random checkpoints of every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.kernels import select_kernels
from sglang.srt.kernels.cpu.build import KernelBuildError
from sglang.srt.kernels.interface import Kernels
from tests.models.model_helpers import (
    HandDriver,
    load_oracle,
    load_tiny,
    make_tiny_checkpoint,
    oracle_greedy,
    oracle_logits,
    random_tokens,
)

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-one-kv-head": ("llama", {"num_key_value_heads": 1}),
    "llama-no-gqa": ("llama", {"num_key_value_heads": 4}),
    "llama-wide-heads": ("llama", {"head_dim": 24, "num_attention_heads": 6}),
    "llama-default-head-dim": ("llama", {"head_dim": None}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-odd-sizes": (
        "llama",
        {"hidden_size": 36, "intermediate_size": 50, "head_dim": 10, "rms_norm_eps": 1e-5},
    ),
    "llama-bin": ("llama", {"weights": "bin"}),
    "llama-bin-tied-sharded": (
        "llama",
        {"weights": "bin", "shards": 2, "tie_word_embeddings": True},
    ),
    "llama-sharded": ("llama", {"shards": 3}),
    "llama-old-style": ("llama", {"old_style_config": True}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral-window": ("mistral", {"sliding_window": 7}),
    "mistral-nemo": ("mistral", {"sliding_window": None, "head_dim": 20}),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {}),
    "qwen3-biased": ("qwen3", {"attention_bias": True, "head_dim": 32}),
    "qwen3-window": (
        "qwen3",
        {
            "use_sliding_window": True,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}


@pytest.fixture(scope="module", params=["reference", "cpu-c"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    try:
        return select_kernels("cpu", torch.float32, prefer=request.param)
    except KernelBuildError as error:
        pytest.skip(f"no C kernels on this machine: {error}")


@pytest.mark.parametrize("case", CASES)
def test_equals_transformers_in_float32(case: str, kernels: Kernels, tmp_path: Path) -> None:
    family, overrides = CASES[case]
    folder = make_tiny_checkpoint(tmp_path, family, **overrides)
    prompt = random_tokens(23, 199)
    oracle = load_oracle(folder)
    model = load_tiny(folder, kernels=kernels)

    logits = HandDriver(model).step({"prompt": prompt})["prompt"]
    expected = oracle_logits(oracle, prompt)
    torch.testing.assert_close(logits.log_softmax(-1), expected.log_softmax(-1), atol=1e-3, rtol=0)
    assert HandDriver(model).greedy("a", prompt, 64) == oracle_greedy(oracle, prompt, 64)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_is_close_to_transformers_in_bfloat16(family: str, tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path, family, dtype="bfloat16")
    prompt = random_tokens(40, 199)
    exact = oracle_logits(load_oracle(folder), prompt).log_softmax(-1)
    theirs = oracle_logits(load_oracle(folder, torch.bfloat16), prompt).log_softmax(-1)
    model = load_tiny(folder, dtype="auto")
    ours = HandDriver(model, dtype=torch.bfloat16).step({"p": prompt})["p"].log_softmax(-1)

    # Both round; ours must not be farther from the float32 result than theirs by much.
    assert (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean()


ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "factor": 3.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn-mscale": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "mscale": 0.9,
        "mscale_all_dim": 0.7,
        "beta_fast": 16,
        "beta_slow": 2,
        "truncate": False,
    },
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
}


@pytest.mark.parametrize("old_style", [False, True])
@pytest.mark.parametrize("rope", ROPES)
def test_rope_scalings_equal_transformers(rope: str, old_style: bool, tmp_path: Path) -> None:
    family = "qwen2" if rope.startswith("yarn") else "llama"
    folder = make_tiny_checkpoint(
        tmp_path,
        family,
        old_style_config=old_style,
        rope_parameters={"rope_theta": 500.0, **ROPES[rope]},
        max_position_embeddings=64 if rope == "dynamic" else 256,
    )
    prompt = random_tokens(50, 199)  # with 64 more tokens beyond the trained length
    oracle = load_oracle(folder)
    model = load_tiny(folder)

    logits = HandDriver(model).step({"prompt": prompt})["prompt"]
    torch.testing.assert_close(
        logits.log_softmax(-1), oracle_logits(oracle, prompt).log_softmax(-1), atol=1e-3, rtol=0
    )
    assert HandDriver(model).greedy("a", prompt, 64) == oracle_greedy(oracle, prompt, 64)


def test_tied_flag_with_different_tensors_uses_both(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path, "llama")
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config))
    prompt = random_tokens(12, 199)

    logits = HandDriver(load_tiny(folder)).step({"p": prompt})["p"]
    torch.testing.assert_close(
        logits, oracle_logits(load_oracle(folder), prompt), atol=1e-3, rtol=0
    )
