"""GLM-4.5 and GLM-4.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.moe_config import deepseek_moe, expert_count


class Glm4MoeForCausalLM(Decoder):
    """Half of each head is rotated; experts by their sigmoid, corrected to spread the load."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The groups of experts are as in DeepSeek V3, though there is but one so far."""
        facts = parse_decoder(
            config,
            default_kv_heads=8,
            default_rotary=0.5,
            norm_eps=("rms_norm_eps", 1e-5),
            qkv_bias=flag(config, "attention_bias"),
            qk_norm="head" if flag(config, "use_qk_norm") else "none",
        )
        routing = Routing(
            expert_count(config, "num_experts_per_tok"),
            score="sigmoid",
            renormalize=flag(config, "norm_topk_prob", default=True),
            scale=positive_float(config, "routed_scaling_factor", 1.0),
            num_groups=positive_int(config, "n_group", 1),
            top_groups=positive_int(config, "topk_group", 1),
            group_score="best_two",
        )
        moe = deepseek_moe(config, routing, facts.num_layers, default_dense=1, correction_bias=True)
        return replace(facts, moe=moe)
