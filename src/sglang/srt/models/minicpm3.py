"""MiniCPM 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.minicpm import MiniCPMForCausalLM, with_multipliers
from sglang.srt.models.mla import parse_mla_decoder


class MiniCPM3ForCausalLM(MiniCPMForCausalLM):
    """MiniCPM with latent attention."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The embeddings are tied unless the file says otherwise."""
        facts = parse_mla_decoder(config, default_tied=True, norm_eps=("rms_norm_eps", 1e-5))
        return with_multipliers(facts, config)
