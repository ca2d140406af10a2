"""XVERSE 7B, 13B and 65B, and the mixture of experts A4.2B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder_config import DecoderConfig, flag
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.llama import LlamaForCausalLM
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames


class XverseForCausalLM(LlamaForCausalLM):
    """Llama in every respect, or with experts."""

    names = DecoderNames(moe=(MoENames(router="mlp.router"),))

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``num_experts`` makes the difference; ``intermediate_size`` is that of one expert."""
        facts = LlamaForCausalLM.parse_config(config)
        if not config.get("num_experts"):
            return facts
        shared = 0
        if config.get("num_shared_experts"):
            shared = expert_count(config, "num_shared_experts")
        renormalize = flag(config, "norm_topk_prob")
        return replace(
            facts,
            moe=MoEConfig(
                num_experts=expert_count(config, "num_experts"),
                intermediate_size=facts.intermediate_size,
                routing=Routing(expert_count(config, "moe_top_k"), renormalize=renormalize),
                layers=frozenset(range(facts.num_layers)),
                shared_size=facts.intermediate_size * shared,
            ),
        )


class XverseMoeForCausalLM(XverseForCausalLM):
    """The same by another name."""
