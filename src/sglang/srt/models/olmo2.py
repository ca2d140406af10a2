"""OLMo 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder


class Olmo2ForCausalLM(Decoder):
    """Llama with its norms behind attention and MLP, and one norm over all queries, or keys."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``attention_bias`` puts biases on all four projections of the attention."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            config,
            norm_eps=("rms_norm_eps", 1e-5),
            qkv_bias=biased,
            o_bias=biased,
            qk_norm="whole",
        )
        return replace(facts, block="post")
