"""Gemma 3, the text models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float
from sglang.srt.layers.rotary import RopeConfig, parse_rope
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, optional_float
from sglang.srt.models.decoder_windows import windows_by_pattern
from sglang.srt.models.gemma import parse_gemma
from sglang.srt.models.gemma2 import SANDWICH_NAMES


class Gemma3ForCausalLM(Decoder):
    """Gemma 2 without soft caps, with normed queries and keys, and two rotary bases."""

    names = SANDWICH_NAMES

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Layers with a window have a base of their own, and no scaling."""
        if flag(config, "use_bidirectional_attention"):
            raise ModelLoadError(
                "config.json: 'use_bidirectional_attention' is not implemented yet"
            )
        windows = windows_by_pattern(config, 4096, default_pattern=6)
        everywhere, local = _rotary_configs(config)
        facts = parse_gemma(everywhere, default_kv_heads=4, windows=windows)
        (rope,) = set(facts.ropes)
        local_rope: RopeConfig = parse_rope(local, facts.head_dim)
        return replace(
            facts,
            block="sandwich",
            qk_norm="head",
            ropes=tuple(local_rope if window else rope for window in windows),
            attention_scale=positive_float(config, "query_pre_attn_scalar", 256) ** -0.5,
            attention_softcap=optional_float(config, "attn_logit_softcapping"),
            logit_softcap=optional_float(config, "final_logit_softcapping"),
        )


def _rotary_configs(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration with the rotary parameters of global, and with those of local layers.

    Newer files have ``rope_parameters`` by layer type; older ones ``rope_local_base_freq`` beside
    the usual keys, which are then those of global layers.
    """
    common = {key: value for key, value in config.items() if not key.startswith("rope_")}
    by_type = config.get("rope_parameters") or {}
    if isinstance(by_type, dict) and "full_attention" in by_type:
        kinds = ("full_attention", "sliding_attention")
        full, sliding = ({**common, "rope_parameters": by_type.get(kind)} for kind in kinds)
        return {"rope_theta": 1e6, **full}, sliding
    theta = positive_float(config, "rope_local_base_freq", 10_000.0)
    return {"rope_theta": 1e6, **config}, {**common, "rope_theta": theta}
