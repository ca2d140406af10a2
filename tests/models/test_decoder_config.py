"""How each family's ``config.json`` is read, and what is said when it makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.registry import ModelRegistry

BASE: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
}


def parse(family: str, **fields: Any) -> DecoderConfig:
    config = {key: value for key, value in {**BASE, **fields}.items() if value is not ...}
    facts = ModelRegistry.models[f"{family}ForCausalLM"].parse_config(config)
    assert isinstance(facts, DecoderConfig)
    return facts


@pytest.mark.parametrize(
    ("family", "expected"), [("Llama", 16), ("Mistral", 8), ("Qwen2", 32), ("Qwen3", 32)]
)
def test_default_number_of_kv_heads(family: str, expected: int) -> None:
    facts = parse(family, num_key_value_heads=..., num_attention_heads=32)
    assert facts.num_kv_heads == (32 if family == "Llama" else expected)


@pytest.mark.parametrize(
    ("family", "expected"), [("Llama", 4), ("Mistral", 4), ("Qwen2", 4), ("Qwen3", 128)]
)
def test_default_head_dim(family: str, expected: int) -> None:
    assert parse(family).head_dim == expected
    assert parse(family, head_dim=None).head_dim == expected
    assert parse(family, head_dim=24).head_dim == 24


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, 4096), ({"sliding_window": None}, 0), ({"sliding_window": 7}, 7)],
)
def test_mistral_window(fields: dict[str, Any], expected: int) -> None:
    assert parse("Mistral", **fields).windows == (expected,) * 3


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sliding_window": 5, "max_window_layers": 0}, (0, 0, 0)),
        ({"use_sliding_window": True}, (0, 0, 0)),
        ({"use_sliding_window": True, "max_window_layers": 2}, (0, 0, 4096)),
        ({"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 5}, (5, 5, 5)),
        (
            {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": None},
            (0, 0, 0),
        ),
        (
            {
                "use_sliding_window": True,
                "sliding_window": 5,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "x"],
            },
            (5, 0, 5),
        ),
    ],
)
def test_qwen_windows(family: str, fields: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert parse(family, **fields).windows == expected


def test_biases_of_the_families() -> None:
    def biases(facts: DecoderConfig) -> tuple[bool, bool, bool]:
        return facts.qkv_bias, facts.o_bias, facts.mlp_bias

    assert biases(parse("Llama")) == (False, False, False)
    assert biases(parse("Llama", attention_bias=True)) == (True, True, False)
    assert biases(parse("Llama", mlp_bias=True)) == (False, False, True)
    assert biases(parse("Qwen2")) == (True, False, False)
    assert biases(parse("Qwen3", attention_bias=True)) == (True, True, False)


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        ("Llama", {"hidden_size": ...}, "lacks 'hidden_size'"),
        ("Llama", {"num_hidden_layers": 0}, "'num_hidden_layers' must be a positive integer"),
        ("Mistral", {"num_hidden_layers": 1 << 30}, "'num_hidden_layers' must be at most 10000"),
        ("Llama", {"num_key_value_heads": 3}, "num_attention_heads 16 is no multiple"),
        ("Llama", {"hidden_size": 65}, "hidden_size 65 is no multiple"),
        ("Llama", {"rms_norm_eps": -1}, "'rms_norm_eps'"),
        ("Llama", {"rms_norm_eps": float("nan")}, "'rms_norm_eps'"),
        ("Llama", {"hidden_act": "relu"}, "hidden_act 'relu' is not implemented yet"),
        ("Llama", {"attention_bias": "yes"}, "'attention_bias' must be true or false"),
        ("Llama", {"head_dim": 7}, "rotary dimension must be even"),
        ("Llama", {"partial_rotary_factor": 0.5}, "'partial_rotary_factor'"),
        ("Llama", {"rope_scaling": {"type": "xpos"}}, "'xpos' is not implemented yet"),
        ("Llama", {"rope_scaling": {"type": "longrope"}}, "'short_factor' must list 2 numbers"),
        ("Llama", {"rope_scaling": {"type": "linear"}}, "lacks 'factor'"),
        ("Llama", {"rope_scaling": {"type": ["linear"]}}, "'rope_type' must be a name"),
        (
            "Qwen3",
            {"rope_parameters": {"full_attention": {"rope_type": "default"}}},
            "rope parameters by layer are not implemented yet",
        ),
        ("Llama", {"rope_theta": "big"}, "'rope_theta' must be a number"),
        (
            "Llama",
            {"rope_scaling": {"type": "llama3", "factor": 2, "high_freq_factor": 1}},
            "'high_freq_factor' must be above",
        ),
        ("Mistral", {"sliding_window": -4}, "'sliding_window'"),
        ("Qwen2", {"layer_types": ["full_attention"]}, "'layer_types' must list 3 layers"),
        ("Qwen2", {"layer_types": ["chunked"] * 3}, "'chunked' is not implemented yet"),
        ("Qwen2", {"layer_types": ["sliding_attention"] * 3}, "no sliding_window"),
        ("Qwen3", {"max_window_layers": "two", "use_sliding_window": True}, "'max_window_layers'"),
    ],
)
def test_senseless_field_is_named(family: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        parse(family, **fields)
