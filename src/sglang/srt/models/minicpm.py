"""MiniCPM 1 and 2, dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, parse_decoder


class MiniCPMForCausalLM(Decoder):
    """Llama with multipliers of embeddings, residuals and scores (arXiv:2404.06395)."""

    supports_input_embeds = False  # given ones would want the multiplier too

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``scale_depth`` is shared by the layers; ``dim_model_base`` is the width of the scores.

        The embeddings are tied unless the file says otherwise.
        """
        return with_multipliers(parse_decoder(config, default_tied=True), config)


def with_multipliers(facts: DecoderConfig, config: Mapping[str, Any]) -> DecoderConfig:
    """``facts`` with the multipliers of the file."""
    depth = positive_float(config, "scale_depth", 1.0)
    base = positive_float(config, "dim_model_base", 1.0)
    return replace(
        facts,
        embedding_multiplier=positive_float(config, "scale_emb", 1.0),
        residual_multiplier=depth / facts.num_layers**0.5,
        logit_multiplier=base / facts.hidden_size,
    )
