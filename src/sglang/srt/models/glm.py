"""GLM-4: the first release in the form of transformers, and that of April 2025."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames


class GlmForCausalLM(Decoder):
    """Llama with a fused gate, biases, and a rotation of neighbours in half of each head."""

    names = DecoderNames(gate_up="mlp.gate_up_proj")

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The biases are there unless the file says otherwise."""
        return _parse_glm(config, default_biased=True)


class Glm4ForCausalLM(Decoder):
    """The same with norms on both sides of attention and MLP."""

    names = DecoderNames(
        gate_up="mlp.gate_up_proj",
        attention_out_norm="post_self_attn_layernorm",
        mlp_norm="post_attention_layernorm",
        mlp_out_norm="post_mlp_layernorm",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """There are biases only if the file says so."""
        return replace(_parse_glm(config, default_biased=False), block="sandwich")


def _parse_glm(config: Mapping[str, Any], *, default_biased: bool) -> DecoderConfig:
    facts = parse_decoder(
        config,
        default_kv_heads=2,
        default_head_dim=128,
        default_rotary=0.5,
        norm_eps=("rms_norm_eps", 1.5625e-7),
        qkv_bias=flag(config, "attention_bias", default_biased),
    )
    return replace(facts, interleaved_rope=True)
