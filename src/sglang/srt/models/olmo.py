"""OLMo, of 2024."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, optional_float, parse_decoder


class OlmoForCausalLM(Decoder):
    """Llama with layer norms that have no parameters, and bounded queries, keys and values."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The norms' epsilon is in no file."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(config, qkv_bias=biased, o_bias=biased)
        return replace(
            facts,
            norm="layer",
            norm_weight=False,
            norm_eps=1e-5,
            qkv_clip=optional_float(config, "clip_qkv"),
        )
