"""IBM Granite 3, mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.granite import GraniteForCausalLM
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames

_PUBLISHED = MoENames(
    router="block_sparse_moe.router.layer",
    fused_gate_up="block_sparse_moe.input_linear.weight",
    fused_down="block_sparse_moe.output_linear.weight",
    shared_gate_up="shared_mlp.input_linear",
    shared_down="shared_mlp.output_linear",
)


class GraniteMoeForCausalLM(Decoder):
    """Granite with experts, stored as one tensor of all gates and one of what follows them."""

    supports_input_embeds = False  # given ones would want the multiplier too
    names = DecoderNames(
        moe=(
            _PUBLISHED,
            replace(
                _PUBLISHED,
                router="block_sparse_moe.router",
                fused_gate_up="block_sparse_moe.experts.gate_up_proj",
                fused_down="block_sparse_moe.experts.down_proj",
            ),
        )
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The weights of the chosen experts are a softmax over these alone."""
        facts = GraniteForCausalLM.parse_config(config)
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


class GraniteMoeSharedForCausalLM(GraniteMoeForCausalLM):
    """The same with an MLP for every token."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``shared_intermediate_size`` may be 0, which leaves that MLP away."""
        facts = GraniteMoeForCausalLM.parse_config(config)
        assert facts.moe is not None
        size = 0
        if config.get("shared_intermediate_size"):
            size = positive_int(config, "shared_intermediate_size")
        return replace(facts, moe=replace(facts.moe, shared_size=size))
