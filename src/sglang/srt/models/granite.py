"""IBM Granite 3, dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder


class GraniteForCausalLM(Decoder):
    """Llama with multipliers of embeddings, residuals, attention and scores."""

    supports_input_embeds = False  # given ones would want the multiplier too

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``logits_scaling`` divides, the others multiply."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            config, qkv_bias=biased, o_bias=biased, mlp_bias=flag(config, "mlp_bias")
        )
        return replace(
            facts,
            embedding_multiplier=positive_float(config, "embedding_multiplier", 1.0),
            residual_multiplier=positive_float(config, "residual_multiplier", 1.0),
            attention_scale=positive_float(config, "attention_multiplier", 1.0),
            logit_multiplier=1 / positive_float(config, "logits_scaling", 1.0),
        )
