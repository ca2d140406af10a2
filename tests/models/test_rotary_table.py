"""Tables of cosines and sines against transformers, including far positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sglang.srt.layers.rotary import parse_rope, rotary_table

CPU = torch.device("cpu")
CASES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    "yarn-explicit": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32768,
        "attention_factor": 1.25,
        "beta_fast": 20,
        "beta_slow": 3,
    },
    "yarn-implied-length": {"rope_type": "yarn", "factor": 2.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
}


@pytest.mark.parametrize("case", CASES)
def test_table_equals_transformers(case: str) -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    fields: dict[str, Any] = {
        "max_position_embeddings": 131072,
        "rope_parameters": {"rope_theta": 500000.0, **CASES[case]},
    }
    rope = parse_rope(fields, 64)
    config = LlamaConfig(hidden_size=128, num_attention_heads=2, **fields)
    positions = torch.tensor([0, 1, 2, 100, 8191, 8192, 40000, 131071])

    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1), positions[None])
    expected = torch.cat((cos[0, :, :32], sin[0, :, :32]), dim=-1)
    torch.testing.assert_close(
        rotary_table(rope, 131072, CPU)[positions], expected, atol=2e-3, rtol=0
    )


def dynamic(length: int) -> torch.Tensor:
    fields = {"max_position_embeddings": 16, "rope_scaling": {"type": "dynamic", "factor": 3.0}}
    return rotary_table(parse_rope(fields, 8), length, CPU)


def test_dynamic_is_unscaled_up_to_the_trained_length() -> None:
    plain = rotary_table(parse_rope({"max_position_embeddings": 16}, 8), 16, CPU)
    assert torch.equal(dynamic(40)[:16], plain)


def test_dynamic_equals_transformers_token_by_token() -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = LlamaConfig(
        hidden_size=16,
        num_attention_heads=2,
        max_position_embeddings=16,
        rope_parameters={"rope_type": "dynamic", "factor": 3.0, "rope_theta": 10000.0},
    )
    module = LlamaRotaryEmbedding(config)
    for position, row in enumerate(dynamic(40)):
        cos, sin = module(torch.zeros(1), torch.tensor([[position]]))
        expected = torch.cat((cos[0, 0, :4], sin[0, 0, :4]))
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_rows_do_not_depend_on_the_served_length(case: str) -> None:
    fields = {"max_position_embeddings": 32, "rope_scaling": {**CASES[case]}}
    rope = parse_rope(fields, 16)
    assert torch.equal(rotary_table(rope, 20, CPU), rotary_table(rope, 100, CPU)[:20])
