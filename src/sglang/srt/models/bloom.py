"""BLOOM and BLOOMZ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.attention_variant import alibi_slopes
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames


class BloomForCausalLM(Decoder):
    """ALiBi for positions, layer norms, one of them on the embeddings, biases, a plain MLP."""

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.word_embeddings.weight",
        embedding_norm="transformer.word_embeddings_layernorm",
        final_norm="transformer.ln_f",
        layer="transformer.h.{}.",
        qkv="self_attention.query_key_value",
        o="self_attention.dense",
        up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
    )
    supports_input_embeds = False

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Residuals that begin after a norm, which no published model has, are refused."""
        if flag(config, "apply_residual_connection_post_layernorm"):
            raise ModelLoadError(
                "config.json: 'apply_residual_connection_post_layernorm' is not implemented yet"
            )
        usual = {"n_embed": "hidden_size", "n_layer": "num_hidden_layers"}
        keys = renamed(config, {**usual, "n_head": "num_attention_heads"})
        keys["intermediate_size"] = 4 * positive_int(keys, "hidden_size")
        keys["hidden_act"] = "gelu_tanh"
        facts = parse_decoder(
            keys,
            default_tied=True,
            norm_eps=("layer_norm_epsilon", 1e-5),
            qkv_bias=True,
            o_bias=True,
            mlp_bias=True,
        )
        return replace(
            facts,
            norm="layer",
            norm_bias=True,
            embedding_norm=True,
            gated_mlp=False,
            grouped_qkv=True,
            ropes=(None,) * facts.num_layers,
            slopes=tuple(alibi_slopes(facts.num_heads).tolist()),
        )
