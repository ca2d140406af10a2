"""Qwen3, mixtures of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_windows import qwen_windows
from sglang.srt.models.moe_config import MoEConfig, expert_count, layers_by_step


class Qwen3MoeForCausalLM(Decoder):
    """Qwen3 with experts, and if with windows, then on every layer."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Newer files call the number of experts ``num_local_experts``."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            config,
            default_kv_heads=4,
            windows=qwen_windows(config, lambda layer, first: True),
            qkv_bias=biased,
            o_bias=biased,
            qk_norm="head",
        )
        count = "num_experts" if "num_experts" in config else "num_local_experts"
        top_k = expert_count(config, "num_experts_per_tok")
        return replace(
            facts,
            moe=MoEConfig(
                num_experts=expert_count(config, count),
                intermediate_size=positive_int(config, "moe_intermediate_size"),
                routing=Routing(top_k, renormalize=flag(config, "norm_topk_prob")),
                layers=layers_by_step(config, facts.num_layers),
            ),
        )
