"""Gemma 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, optional_float
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.decoder_windows import windows_by_pattern
from sglang.srt.models.gemma import parse_gemma

SANDWICH_NAMES = DecoderNames(mlp_norm="pre_feedforward_layernorm")


class Gemma2ForCausalLM(Decoder):
    """Gemma with norms on both sides, soft caps, and a window on every other layer."""

    names = SANDWICH_NAMES

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """A soft cap of null is none; where the file does not mention it there is one."""
        windows = windows_by_pattern(config, 4096, default_pattern=2)
        facts = parse_gemma(config, default_kv_heads=4, windows=windows)
        return replace(
            facts,
            block="sandwich",
            attention_scale=positive_float(config, "query_pre_attn_scalar", 256) ** -0.5,
            attention_softcap=optional_float(config, "attn_logit_softcapping", 50.0),
            logit_softcap=optional_float(config, "final_logit_softcapping", 30.0),
        )
