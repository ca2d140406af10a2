"""Gemma, and what its successors share with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder


class GemmaForCausalLM(Decoder):
    """Llama with a gelu-gated MLP, scaled embeddings, and norms that store their weight less 1."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """As in every Gemma, see :func:`parse_gemma`."""
        return parse_gemma(config, default_kv_heads=16)


def parse_gemma(
    config: Mapping[str, Any],
    *,
    default_kv_heads: int,
    windows: tuple[int, ...] | None = None,
) -> DecoderConfig:
    """What all Gemmas have in common.

    Where the file says "gelu", or nothing, the model was trained with its tanh form. ``hidden_act``
    is older than ``hidden_activation``, which wins.
    """
    activation = config.get("hidden_activation") or config.get("hidden_act")
    if activation in (None, "gelu"):
        activation = "gelu_pytorch_tanh"
    biased = flag(config, "attention_bias")
    facts = parse_decoder(
        {**config, "hidden_act": activation},
        default_kv_heads=default_kv_heads,
        default_head_dim=256,
        default_tied=True,
        windows=windows,
        qkv_bias=biased,
        o_bias=biased,
    )
    return replace(facts, norm_offset=1.0, embedding_multiplier=facts.hidden_size**0.5)
