"""ChatGLM 2 and 3, and GLM-4 in the form of its own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder, renamed
from sglang.srt.models.decoder_weights import DecoderNames


class ChatGLMModel(Decoder):
    """Llama with fused projections, and a rotation of neighbours in half of each head."""

    names = DecoderNames(
        prefix="transformer.",
        embedding="transformer.embedding.word_embeddings.weight",
        final_norm="transformer.encoder.final_layernorm",
        lm_head="transformer.output_layer.weight",
        layer="transformer.encoder.layers.{}.",
        qkv="self_attention.query_key_value",
        o="self_attention.dense",
        gate_up="mlp.dense_h_to_4h",
        down="mlp.dense_4h_to_h",
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The key heads are ``multi_query_group_num`` if ``multi_query_attention``."""
        wanted = {"rmsnorm": True, "post_layer_norm": True}
        wanted |= {"apply_residual_connection_post_layernorm": False}
        for key, value in wanted.items():
            if flag(config, key, value) is not value:
                raise ModelLoadError(f"config.json: '{key}' {not value} is not implemented yet")
        shared = flag(config, "multi_query_attention")
        names = {
            "num_layers": "num_hidden_layers",
            "padded_vocab_size": "vocab_size",
            "ffn_hidden_size": "intermediate_size",
            "kv_channels": "head_dim",
            **({"multi_query_group_num": "num_key_value_heads"} if shared else {}),
        }
        theta = 10_000.0 * positive_float(config, "rope_ratio", 1.0)
        biased = flag(config, "add_bias_linear")
        facts = parse_decoder(
            {**renamed(config, names), "rope_theta": theta},
            default_kv_heads=positive_int(config, "multi_query_group_num", 1) if shared else None,
            default_rotary=0.5,
            norm_eps=("layernorm_epsilon", 1e-5),
            qkv_bias=biased or flag(config, "add_qkv_bias"),
            o_bias=biased,
            mlp_bias=biased,
        )
        return replace(facts, interleaved_rope=True, grouped_qkv=not shared)


class ChatGLMForConditionalGeneration(ChatGLMModel):
    """The same under its other name."""
