"""Qwen3, dense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_windows import qwen_windows


class Qwen3ForCausalLM(Decoder):
    """Llama with an RMS norm on every query and key head; heads of 128 unless stated."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``attention_bias`` puts biases on all four projections of the attention."""
        biased = flag(config, "attention_bias")
        return parse_decoder(
            config,
            default_kv_heads=32,
            default_head_dim=128,
            windows=qwen_windows(config),
            qkv_bias=biased,
            o_bias=biased,
            qk_norm="head",
        )
