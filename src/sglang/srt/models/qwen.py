"""Qwen, the first generation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames


class QWenLMHeadModel(Decoder):
    """Llama with a fused projection that has a bias, under other names.

    Its two ways to read beyond the trained ``seq_length`` (a growing rotary base and a logarithmic
    scale of the queries) change nothing within it, and are not implemented.
    """

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.wte.weight",
        final_norm="transformer.ln_f",
        layer="transformer.h.{}.",
        input_norm="ln_1",
        qkv="attn.c_attn",
        o="attn.c_proj",
        mlp_norm="ln_2",
        gate="mlp.w2",
        up="mlp.w1",
        down="mlp.c_proj",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``intermediate_size`` counts gate and up together; ``kv_channels`` is a head's size."""
        both = positive_int(config, "intermediate_size")
        if both % 2:
            raise ModelLoadError(f"config.json: 'intermediate_size' must be even, got {both}")
        if not flag(config, "no_bias", default=True):
            raise ModelLoadError("config.json: 'no_bias': false is not implemented yet")
        if config.get("rotary_pct", 1.0) != 1.0:
            raise ModelLoadError("config.json: 'rotary_pct' is not implemented yet")
        names = {"kv_channels": "head_dim", "rotary_emb_base": "rope_theta"}
        usual = {**renamed(config, names), "intermediate_size": both // 2, "hidden_act": "silu"}
        return parse_decoder(usual, norm_eps=("layer_norm_epsilon", 1e-6), qkv_bias=True)
