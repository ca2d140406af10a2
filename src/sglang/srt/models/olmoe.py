"""OLMoE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, optional_float, parse_decoder
from sglang.srt.models.moe_config import MoEConfig, expert_count


class OlmoeForCausalLM(Decoder):
    """Llama with experts, and one norm over all queries, or keys."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``intermediate_size`` is that of one expert."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            config,
            norm_eps=("rms_norm_eps", 1e-5),
            qkv_bias=biased,
            o_bias=biased,
            qk_norm="whole",
        )
        top_k = expert_count(config, "num_experts_per_tok")
        return replace(
            facts,
            qkv_clip=optional_float(config, "clip_qkv"),
            moe=MoEConfig(
                num_experts=expert_count(config, "num_experts"),
                intermediate_size=facts.intermediate_size,
                routing=Routing(top_k, renormalize=flag(config, "norm_topk_prob")),
                layers=frozenset(range(facts.num_layers)),
            ),
        )
