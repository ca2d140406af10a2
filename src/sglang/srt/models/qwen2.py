"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, parse_decoder
from sglang.srt.models.decoder_windows import qwen_windows


class Qwen2ForCausalLM(Decoder):
    """Llama with biases on queries, keys and values, and optional windows on upper layers."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The biases are a matter of course here: no key of the file mentions them."""
        return parse_decoder(
            config, default_kv_heads=32, windows=qwen_windows(config), qkv_bias=True
        )
