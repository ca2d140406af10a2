"""Mixtral 8x7B and 8x22B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.mistral import MistralForCausalLM
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames


class MixtralForCausalLM(Decoder):
    """Mistral with a mixture of experts in every layer."""

    names = DecoderNames(
        moe=(
            MoENames(
                router="block_sparse_moe.gate",
                gate="block_sparse_moe.experts.{}.w1",
                up="block_sparse_moe.experts.{}.w3",
                down="block_sparse_moe.experts.{}.w2",
            ),
            MoENames(),
        )
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The weights of the chosen experts are a softmax over these alone."""
        defaults = {"sliding_window": None, "rms_norm_eps": 1e-5}
        facts = MistralForCausalLM.parse_config({**defaults, **config})
        top_k = expert_count(config, "num_experts_per_tok")
        return replace(
            facts,
            moe=MoEConfig(
                num_experts=expert_count(config, "num_local_experts"),
                intermediate_size=facts.intermediate_size,
                routing=Routing(top_k, renormalize=True),
                layers=frozenset(range(facts.num_layers)),
            ),
        )
