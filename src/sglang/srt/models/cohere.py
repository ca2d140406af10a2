"""Command R, Command R+ and Aya: parallel blocks with layer norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_windows import windows_by_pattern


class CohereForCausalLM(Decoder):
    """Attention and MLP read the same norm; neighbours are rotated; scores are scaled."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``use_qk_norm`` (Command R+) gives each head a layer norm of its own."""
        facts = _parse_cohere({"rope_theta": 500_000.0, **config})
        return replace(facts, qk_norm="each_head" if flag(config, "use_qk_norm") else "none")


class Cohere2ForCausalLM(Decoder):
    """Command R7B and Command A: three layers with a window, then one without any positions."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Only the layers with a window are rotated."""
        windows = windows_by_pattern(config, 4096, default_pattern=4)
        facts = _parse_cohere(config)
        (rope,) = set(facts.ropes)
        ropes = tuple(rope if window else None for window in windows)
        return replace(facts, windows=windows, ropes=ropes)


def _parse_cohere(config: Mapping[str, Any]) -> DecoderConfig:
    biased = flag(config, "attention_bias")
    facts = parse_decoder(
        config,
        default_tied=True,
        norm_eps=("layer_norm_eps", 1e-5),
        qkv_bias=biased,
        o_bias=biased,
    )
    return replace(
        facts,
        block="parallel",
        norm="layer",
        interleaved_rope=True,
        logit_multiplier=positive_float(config, "logit_scale", 0.0625),
    )
