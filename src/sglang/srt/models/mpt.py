"""MPT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.kernels.attention_variant import alibi_slopes
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import (
    DecoderConfig,
    flag,
    optional_float,
    parse_decoder,
    renamed,
)
from sglang.srt.models.decoder_weights import DecoderNames


class MptForCausalLM(Decoder):
    """ALiBi for positions, layer norms without biases, a plain MLP."""

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.wte.weight",
        final_norm="transformer.norm_f",
        layer="transformer.blocks.{}.",
        input_norm="norm_1",
        qkv="attn.Wqkv",
        o="attn.out_proj",
        mlp_norm="norm_2",
        up="ffn.up_proj",
        down="ffn.down_proj",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``attn_config`` holds what concerns attention; an older file may lack it."""
        attention = config.get("attn_config") or {}
        _refuse_others(config, attention)
        usual = {"d_model": "hidden_size", "n_layers": "num_hidden_layers"}
        keys = renamed(config, {**usual, "n_heads": "num_attention_heads"})
        ratio = positive_int(config, "expansion_ratio", 4)
        keys["intermediate_size"] = ratio * positive_int(keys, "hidden_size")
        keys["hidden_act"] = "gelu"
        facts = parse_decoder(keys, default_tied=True, norm_eps=("layer_norm_epsilon", 1e-5))
        largest = positive_float(attention, "alibi_bias_max", 8.0)
        return replace(
            facts,
            norm="layer",
            gated_mlp=False,
            ropes=(None,) * facts.num_layers,
            attention_scale=positive_float(attention, "softmax_scale", facts.attention_scale),
            qkv_clip=optional_float(attention, "clip_qkv"),
            slopes=tuple(alibi_slopes(facts.num_heads, largest).tolist()),
        )


class MPTForCausalLM(MptForCausalLM):
    """The name in files that came with code of their own."""


def _refuse_others(config: Mapping[str, Any], attention: Mapping[str, Any]) -> None:
    """Raises ModelLoadError for what the published ALiBi models do not use."""
    refused = {
        "attn_config.alibi: false": not flag(attention, "alibi", default=True),
        "attn_config.qk_ln": flag(attention, "qk_ln"),
        "attn_config.prefix_lm": flag(attention, "prefix_lm"),
        "attn_config.attn_type": attention.get("attn_type", "multihead_attention")
        not in ("multihead_attention", None),
        "no_bias: false": not flag(config, "no_bias", default=True),
        "logit_scale": config.get("logit_scale") is not None,
    }
    for field, found in refused.items():
        if found:
            raise ModelLoadError(f"config.json: '{field}' is not implemented yet for MPT")
