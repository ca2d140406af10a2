"""DeepSeek 1: DeepSeekMoE 16B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.moe_config import deepseek_moe, expert_count


class DeepseekForCausalLM(Decoder):
    """Llama whose later layers have experts, and an MLP for every token beside them."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Without ``n_routed_experts`` the model is dense."""
        if config.get("scoring_func", "softmax") != "softmax":
            raise ModelLoadError(
                f"config.json: 'scoring_func' {config['scoring_func']!r} is not implemented yet "
                "for DeepSeek 1"
            )
        biased = flag(config, "attention_bias")
        facts = parse_decoder(config, qkv_bias=biased, o_bias=biased)
        top_k = expert_count(config, "num_experts_per_tok", 1)
        routing = Routing(top_k, renormalize=top_k > 1 and flag(config, "norm_topk_prob"))
        return replace(facts, moe=deepseek_moe(config, routing, facts.num_layers))
