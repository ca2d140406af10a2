"""InternLM 2 and 2.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames


class InternLM2ForCausalLM(Decoder):
    """Llama with a projection that holds each key head, its queries and its values together."""

    names = DecoderNames(
        embedding="model.tok_embeddings.weight",
        lm_head="output.weight",
        input_norm="attention_norm",
        qkv="attention.wqkv",
        o="attention.wo",
        mlp_norm="ffn_norm",
        gate="feed_forward.w1",
        up="feed_forward.w3",
        down="feed_forward.w2",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``bias`` is that of the attention; it is true where the file does not mention it."""
        biased = flag(config, "bias", default=True)
        facts = parse_decoder(config, qkv_bias=biased, o_bias=biased)
        return replace(facts, grouped_qkv=True)
