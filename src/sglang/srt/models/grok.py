"""Grok-1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float
from sglang.srt.kernels.routing import Routing
from sglang.srt.model_loader.weights import WeightReader
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, optional_float, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.mixtral import MixtralForCausalLM
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames

_NORMS = DecoderNames(
    input_norm="pre_attn_norm",
    attention_out_norm="post_attn_norm",
    mlp_norm="pre_moe_norm",
    mlp_out_norm="post_moe_norm",
)
_XAI_LIKE = MoENames(
    router="moe_block.gate",
    gate="moe_block.experts.{}.linear",
    up="moe_block.experts.{}.linear_v",
    down="moe_block.experts.{}.linear_1",
)
_EMBEDDING_MULTIPLIER, _OUTPUT_MULTIPLIER = 78.38367176906169, 0.5773502691896257


class Grok1ForCausalLM(Decoder):
    """Soft caps on scores of attention and router, norms on both sides, multipliers.

    Files were converted from xAI's under two sets of names; both are read.
    """

    names = replace(_NORMS, moe=(MixtralForCausalLM.names.moe[0], _XAI_LIKE))

    @classmethod
    def checkpoint_names(cls, reader: WeightReader) -> DecoderNames:
        """Attention is called ``attn`` or ``self_attn``."""
        if not reader.has("model.layers.0.attn.q_proj.weight"):
            return cls.names
        return replace(
            cls.names, q="attn.q_proj", k="attn.k_proj", v="attn.v_proj", o="attn.o_proj"
        )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """What a file does not mention is as in the published model."""
        keys = {**config, "hidden_act": "gelu_tanh"}
        facts = parse_decoder(keys, default_kv_heads=8, norm_eps=("rms_norm_eps", 1e-5))
        count_key = "num_local_experts" if "num_local_experts" in config else "num_experts"
        counts = {count_key: 8, "num_experts_per_tok": 2, **config}
        cap = optional_float(config, "max_attn_value", 30.0)
        return replace(
            facts,
            block="sandwich",
            attention_scale=positive_float(config, "attn_output_multiplier", facts.attention_scale),
            attention_softcap=optional_float(config, "attn_logit_softcapping", cap),
            embedding_multiplier=positive_float(
                config, "embedding_multiplier_scale", _EMBEDDING_MULTIPLIER
            ),
            logit_multiplier=positive_float(config, "output_multiplier_scale", _OUTPUT_MULTIPLIER),
            logit_softcap=optional_float(config, "final_logit_softcapping"),
            moe=MoEConfig(
                num_experts=expert_count(counts, count_key),
                intermediate_size=facts.intermediate_size,
                routing=Routing(
                    expert_count(counts, "num_experts_per_tok"),
                    softcap=optional_float(config, "router_logit_softcapping", 30.0),
                ),
                layers=frozenset(range(facts.num_layers)),
            ),
        )


class Grok1ModelForCausalLM(Grok1ForCausalLM):
    """The name in files of the first conversions."""
