"""Llama 1, 2, 3, 3.1, 3.2, and what was published in their shape: Yi, SmolLM, ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder


class LlamaForCausalLM(Decoder):
    """Plain pre-norm decoder; optional biases and head_dim."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``attention_bias`` puts biases on all four projections of the attention."""
        biased = flag(config, "attention_bias")
        return parse_decoder(
            config, qkv_bias=biased, o_bias=biased, mlp_bias=flag(config, "mlp_bias")
        )
