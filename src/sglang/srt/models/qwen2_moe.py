"""Qwen1.5 and Qwen2, mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.decoder_windows import qwen_windows
from sglang.srt.models.moe_config import MoEConfig, expert_count, layers_by_step
from sglang.srt.models.moe_weights import MoENames


class Qwen2MoeForCausalLM(Decoder):
    """Qwen2 with experts, and an MLP for every token that is weighed by a gate of its own."""

    names = DecoderNames(
        moe=(
            MoENames(
                shared_gate="mlp.shared_expert.gate_proj",
                shared_up="mlp.shared_expert.up_proj",
                shared_down="mlp.shared_expert.down_proj",
            ),
        )
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``norm_topk_prob`` makes the weights of the chosen experts sum to one."""
        facts = parse_decoder(
            config,
            default_kv_heads=16,
            windows=qwen_windows(config, lambda layer, end: layer % 2 == 0 and layer < end),
            qkv_bias=flag(config, "qkv_bias", default=True),
        )
        top_k = expert_count(config, "num_experts_per_tok")
        return replace(
            facts,
            moe=MoEConfig(
                num_experts=expert_count(config, "num_experts"),
                intermediate_size=positive_int(config, "moe_intermediate_size"),
                routing=Routing(top_k, renormalize=flag(config, "norm_topk_prob")),
                layers=layers_by_step(config, facts.num_layers),
                shared_size=positive_int(config, "shared_expert_intermediate_size"),
                shared_gate=True,
            ),
        )
