"""Phi-3-small 8k and 128k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int, rope_parameters
from sglang.srt.kernels.attention_variant import BlockSparsity
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, optional_float, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames


class Phi3SmallForCausalLM(Decoder):
    """Block-sparse attention between dense layers, muP multipliers (arXiv:2203.03466), a GEGELU.

    The GEGELU of the published model is what gpt-oss calls a clamped SwiGLU.
    """

    names = DecoderNames(
        final_norm="model.final_layernorm",
        qkv="self_attn.query_key_value",
        o="self_attn.dense",
        gate_up="mlp.up_proj",
        gate_up_interleaved=True,
    )
    supports_input_embeds = False

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The keys of muP are multipliers of embeddings, scores of attention, and logits."""
        if config.get("hidden_act", "gegelu") != "gegelu":
            raise ModelLoadError(
                f"config.json: hidden_act {config['hidden_act']!r} is not implemented yet"
            )
        keys = {
            **config,
            "hidden_act": "silu",
            "intermediate_size": config.get("ff_intermediate_size", 14_336),
            "rope_theta": positive_float(config, "rope_embedding_base", 1e6),
            "rope_scaling": _rope_scaling(config),
        }
        facts = parse_decoder(
            keys,
            default_kv_heads=8,
            default_tied=True,
            norm_eps=("layer_norm_epsilon", 1e-5),
            qkv_bias=True,
            o_bias=True,
            mlp_bias=True,
        )
        scale = facts.attention_scale
        if flag(config, "mup_use_scaling", default=True):
            scale = positive_float(config, "mup_attn_multiplier", 1.0) / facts.head_dim
        return replace(
            facts,
            norm="layer",
            norm_bias=True,
            grouped_qkv=True,
            attention_scale=scale,
            sparsities=_sparsities(config, facts.num_layers, facts.num_heads),
            activation="clamped_swiglu",
            activation_limit=positive_float(config, "gegelu_limit", 20.0),
            embedding_multiplier=optional_float(config, "mup_embedding_multiplier", 10.0) or 1.0,
            logit_multiplier=1 / (optional_float(config, "mup_width_multiplier", 8.0) or 1.0),
            masked_tokens=_masked_tokens(config, facts.vocab_size),
        )


def _sparsities(
    config: Mapping[str, Any], num_layers: int, num_heads: int
) -> tuple[BlockSparsity | None, ...]:
    """Every ``dense_attention_every_n_layers``-th layer is dense; null or 0: none is."""
    stride = positive_int(config, "blocksparse_vert_stride", 8)
    alike = flag(config, "blocksparse_homo_head_pattern")
    sparsity = BlockSparsity(
        block_size=positive_int(config, "blocksparse_block_size", 64),
        local_blocks=positive_int(config, "blocksparse_num_local_blocks", 16),
        stride=stride,
        head_step=0 if alike else max(1, stride // num_heads),
    )
    every = config.get("dense_attention_every_n_layers", 2)
    if not every:
        return (sparsity,) * num_layers
    every = positive_int(
        {"dense_attention_every_n_layers": every}, "dense_attention_every_n_layers"
    )
    return tuple(None if (i + 1) % every == 0 else sparsity for i in range(num_layers))


def _rope_scaling(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of 128k: two sets of factors, each with a factor on cosines and sines ("mscale")."""
    if positive_float(config, "rope_position_scale", 1.0) != 1:
        raise ModelLoadError("config.json: a 'rope_position_scale' but 1 is not implemented yet")
    rope = rope_parameters(config)
    if rope["rope_type"] == "default":
        return None
    if rope["rope_type"] not in ("su", "longrope"):
        raise ModelLoadError(f"config.json: there is no Phi-3-small with {rope['rope_type']!r}")
    return {
        "rope_type": "longrope",
        "short_factor": rope.get("short_factor"),
        "long_factor": rope.get("long_factor"),
        "original_max_position_embeddings": rope.get("original_max_position_embeddings", 8192),
        "attention_factor": rope.get("long_mscale"),
        "short_attention_factor": rope.get("short_mscale"),
    }


def _masked_tokens(config: Mapping[str, Any], vocab_size: int) -> tuple[int, ...]:
    """``dummy_token_indices``: rows of the vocabulary that are no tokens."""
    listed = config.get("dummy_token_indices") or []
    if not isinstance(listed, list) or not all(
        type(token) is int and 0 <= token < vocab_size for token in listed
    ):
        raise ModelLoadError(
            f"config.json: 'dummy_token_indices' must list tokens below {vocab_size}: {listed!r}"
        )
    return tuple(listed)
