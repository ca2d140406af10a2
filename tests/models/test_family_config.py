"""What the pages of the families read from ``config.json``, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.registry import ModelRegistry
from tests.models.family_helpers import CASES, make_family
from tests.models.model_helpers import load_tiny

BASE: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
}


def parse(architecture: str, **fields: Any) -> DecoderConfig:
    config = {key: value for key, value in {**BASE, **fields}.items() if value is not ...}
    facts = ModelRegistry.models[architecture].parse_config(config)
    assert isinstance(facts, DecoderConfig)
    return facts


def rotary_dims(facts: DecoderConfig) -> set[int]:
    return {rope.dim for rope in facts.ropes if rope is not None}


@pytest.mark.parametrize(
    ("architecture", "fields", "expected"),
    [
        ("Phi3ForCausalLM", {}, 16),
        ("Phi3ForCausalLM", {"partial_rotary_factor": 0.75}, 12),
        ("StableLmForCausalLM", {"num_key_value_heads": 4}, 4),
        ("StableLmForCausalLM", {"num_key_value_heads": 4, "partial_rotary_factor": 0.5}, 8),
        ("GlmForCausalLM", {}, 64),
        ("GlmForCausalLM", {"rope_parameters": {"partial_rotary_factor": 0.25}}, 32),
    ],
)
def test_rotated_part_of_a_head(architecture: str, fields: dict[str, Any], expected: int) -> None:
    assert rotary_dims(parse(architecture, **fields)) == {expected}


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("Gemma2ForCausalLM", (4096, 0, 4096, 0, 4096, 0)),
        ("Gemma3ForCausalLM", (4096, 4096, 4096, 4096, 4096, 0)),
        ("Cohere2ForCausalLM", (4096, 4096, 4096, 0, 4096, 4096)),
    ],
)
def test_layers_with_a_window(architecture: str, expected: tuple[int, ...]) -> None:
    assert parse(architecture).windows == expected
    assert parse(architecture, sliding_window=None).windows == (0,) * 6


def test_gemma_is_read_with_the_tanh_form_of_gelu() -> None:
    for fields in ({}, {"hidden_act": "gelu"}, {"hidden_activation": "gelu_pytorch_tanh"}):
        assert parse("GemmaForCausalLM", num_key_value_heads=4, **fields).activation == "gelu_tanh"


def test_soft_caps_of_gemma() -> None:
    caps = [
        (facts.attention_softcap, facts.logit_softcap)
        for facts in (
            parse("Gemma2ForCausalLM"),
            parse("Gemma2ForCausalLM", attn_logit_softcapping=None),
            parse("Gemma3ForCausalLM"),
        )
    ]
    assert caps == [(50.0, 30.0), (0.0, 30.0), (0.0, 0.0)]


def test_gemma_3_rotates_layers_with_a_window_by_another_base() -> None:
    facts = parse("Gemma3ForCausalLM", rope_scaling={"rope_type": "linear", "factor": 8.0})
    found = [(rope.theta, rope.factor) for rope in facts.ropes if rope is not None]
    assert found == [(10_000.0, 1.0)] * 5 + [(1e6, 8.0)]


@pytest.mark.parametrize("kind", ["su", "yarn", "longrope"])
def test_phi_3_calls_longrope_by_three_names(kind: str) -> None:
    scaling = {"type": kind, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
    facts = parse("Phi3ForCausalLM", rope_scaling=scaling, original_max_position_embeddings=4096)
    assert {rope.kind for rope in facts.ropes if rope is not None} == {"longrope"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hidden_size": 4096}, False),
        ({"hidden_size": 5120, "num_attention_heads": 40, "max_position_embeddings": 4096}, True),
        ({"model_max_length": 4096}, True),
        ({"model_max_length": 4096, "max_position_embeddings": 4096}, False),
    ],
)
def test_baichuan_13b_has_slopes_and_no_rotation(fields: dict[str, Any], expected: bool) -> None:
    facts = parse("BaichuanForCausalLM", **fields)
    assert bool(facts.slopes) is expected
    assert all((rope is None) is expected for rope in facts.ropes)


def test_slopes_of_mpt_end_where_its_file_says() -> None:
    slopes = parse("MptForCausalLM", attn_config={"alibi_bias_max": 16}).slopes
    assert slopes == (2.0**-4, 2.0**-8, 2.0**-12, 2.0**-16)


def test_baichuan_2_is_known_by_its_vocabulary() -> None:
    assert parse("BaichuanForCausalLM", vocab_size=125_696).normalized_head
    assert not parse("BaichuanForCausalLM", vocab_size=64_000).normalized_head
    assert not parse("BaiChuanForCausalLM").normalized_head


@pytest.mark.parametrize("architecture", ["GemmaForCausalLM", "CohereForCausalLM"])
def test_some_families_tie_their_embeddings_without_saying_so(architecture: str) -> None:
    fields = {"num_key_value_heads": 4}
    assert parse(architecture, **fields).tie_embeddings
    assert not parse(architecture, tie_word_embeddings=False, **fields).tie_embeddings


GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32, "hidden_size": ...}


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("Phi3ForCausalLM", {"partial_rotary_factor": 1.5}, "must be at most 1, got 1.5"),
        ("Phi3ForCausalLM", {"partial_rotary_factor": 0.1}, "rotary dimension must be even"),
        (
            "Phi3ForCausalLM",
            {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 8}},
            "rope 'long_factor' must list 8 numbers",
        ),
        (
            "Phi3ForCausalLM",
            {"rope_scaling": {"type": "su", "short_factor": [1.0] * 7 + [-1]}},
            "'short_factor' must be finite and positive",
        ),
        ("Phi3ForCausalLM", {"rope_scaling": {"type": "dynamic"}}, "no Phi-3 with rope type"),
        ("Gemma2ForCausalLM", {"attn_logit_softcapping": -1}, "'attn_logit_softcapping'"),
        ("Gemma2ForCausalLM", {"query_pre_attn_scalar": 0}, "'query_pre_attn_scalar'"),
        ("Gemma3ForCausalLM", {"use_bidirectional_attention": True}, "not implemented yet"),
        ("OlmoForCausalLM", {"clip_qkv": "big"}, "'clip_qkv' must be a number"),
        ("CohereForCausalLM", {"logit_scale": 0}, "'logit_scale' must be finite and positive"),
        ("GraniteForCausalLM", {"residual_multiplier": -1}, "'residual_multiplier'"),
        ("MiniCPMForCausalLM", {"scale_depth": "x"}, "'scale_depth' must be a number"),
        ("InternLM2ForCausalLM", {"bias": 1}, "'bias' must be true or false"),
        ("SmolLM3ForCausalLM", {"no_rope_layers": [1, 2]}, "must list 0 or 1 for 6 layers"),
        ("ChatGLMModel", {"rmsnorm": False}, "'rmsnorm' False is not implemented yet"),
        ("BloomForCausalLM", {"apply_residual_connection_post_layernorm": True}, "post_layernorm"),
        ("MptForCausalLM", {"attn_config": {"alibi": False}}, "'attn_config.alibi: false'"),
        ("QWenLMHeadModel", {"intermediate_size": 97}, "'intermediate_size' must be even"),
        ("QWenLMHeadModel", {"no_bias": False}, "'no_bias': false is not implemented yet"),
        ("QWenLMHeadModel", {"rotary_pct": 0.5}, "'rotary_pct' is not implemented yet"),
        ("GPT2LMHeadModel", {**GPT2, "activation_function": "silu"}, "activation_function 'silu'"),
        ("GPT2LMHeadModel", {**GPT2, "activation_function": "relu"}, "hidden_act 'relu'"),
        (
            "GPT2LMHeadModel",
            {**GPT2, "scale_attn_by_inverse_layer_idx": True},
            "'scale_attn_by_inverse_layer_idx'",
        ),
        ("GPTBigCodeForCausalLM", {**GPT2, "scale_attn_weights": False}, "'scale_attn_weights'"),
        ("GPTBigCodeForCausalLM", {**GPT2, "n_embd": 63}, "is no multiple of num_attention_heads"),
    ],
)
def test_what_a_family_lacks_is_refused(
    architecture: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        parse(architecture, **fields)


def test_learned_positions_bound_the_context(tmp_path: Path) -> None:
    make_family(tmp_path, CASES["gpt2"])
    with pytest.raises(ModelLoadError, match="257 is above the 256 positions"):
        load_tiny(tmp_path, context_length=257)


def test_context_of_qwen_is_what_it_was_trained_with(tmp_path: Path) -> None:
    make_family(tmp_path, CASES["qwen"])
    assert load_model_config(str(tmp_path)).context_length == 256
