"""Youtu-LLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag
from sglang.srt.models.mla import parse_mla_decoder


class YoutuForCausalLM(Decoder):
    """Llama with latent attention."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The embeddings are tied unless the file says otherwise."""
        interleaved = flag(config, "rope_interleave", True)
        return parse_mla_decoder(config, interleaved_rope=interleaved, default_tied=True)
