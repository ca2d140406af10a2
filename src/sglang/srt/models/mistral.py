"""Mistral 7B and Mistral NeMo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, layer_count, parse_decoder


class MistralForCausalLM(Decoder):
    """Llama with a sliding window on every layer, no biases, and in NeMo a head_dim."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``sliding_window`` is 4096 where the file is silent; an explicit null means none."""
        window = 0
        if config.get("sliding_window", 4096) is not None:
            window = positive_int(config, "sliding_window", 4096)
        windows = (window,) * layer_count(config)
        return parse_decoder(config, default_kv_heads=8, windows=windows)
