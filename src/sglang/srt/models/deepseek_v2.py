"""DeepSeek V2, V2.5 and V2-Lite; V3, R1 and what was published in its shape: Kimi K2, ...

V2: arXiv:2405.04434, V3: arXiv:2412.19437.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag
from sglang.srt.models.mla import parse_mla_decoder
from sglang.srt.models.moe_config import deepseek_moe, expert_count


class DeepseekV2ForCausalLM(Decoder):
    """Latent attention, and experts beside a shared MLP, chosen by a softmax."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``topk_method`` says whether experts are chosen among all or within the best groups."""
        facts = parse_mla_decoder(config, interleaved_rope=True)
        method = config.get("topk_method") or "greedy"
        if method not in ("greedy", "group_limited_greedy"):
            raise ModelLoadError(f"config.json: there is no DeepSeek V2 with topk_method {method}")
        grouped = method == "group_limited_greedy"
        routing = Routing(
            top_k=expert_count(config, "num_experts_per_tok"),
            renormalize=flag(config, "norm_topk_prob"),
            scale=positive_float(config, "routed_scaling_factor", 1.0),
            num_groups=positive_int(config, "n_group", 1) if grouped else 1,
            top_groups=positive_int(config, "topk_group", 1) if grouped else 1,
        )
        return replace(facts, moe=deepseek_moe(config, routing, facts.num_layers))


class DeepseekV3ForCausalLM(Decoder):
    """V2 with experts chosen by a sigmoid and a bias that keeps them equally busy."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Experts are chosen within the groups whose two best ones have the highest scores."""
        facts = parse_mla_decoder(config, interleaved_rope=flag(config, "rope_interleave", True))
        for key, only in (("scoring_func", "sigmoid"), ("topk_method", "noaux_tc")):
            if config.get(key, only) != only:
                raise ModelLoadError(
                    f"config.json: there is no DeepSeek V3 with {key} {config[key]!r}"
                )
        groups = positive_int(config, "n_group", 1)
        routing = Routing(
            top_k=expert_count(config, "num_experts_per_tok"),
            score="sigmoid",
            renormalize=flag(config, "norm_topk_prob", True),
            scale=positive_float(config, "routed_scaling_factor", 1.0),
            num_groups=groups,
            top_groups=positive_int(config, "topk_group", 1),
            group_score="best_two" if groups > 1 else "max",
        )
        return replace(
            facts, moe=deepseek_moe(config, routing, facts.num_layers, correction_bias=True)
        )
