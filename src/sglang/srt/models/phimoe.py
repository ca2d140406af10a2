"""Phi-3.5-MoE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int, rope_parameters
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, layer_count, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.mixtral import MixtralForCausalLM
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames


class PhiMoEForCausalLM(Decoder):
    """Mixtral with layer norms, biases, and experts that are chosen one after the other."""

    names = DecoderNames(moe=(MixtralForCausalLM.names.moe[0], MoENames(router="mlp.router")))

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``router_jitter_noise`` says how close experts must come to be weighed together."""
        window = 0
        if config.get("sliding_window") is not None:
            window = positive_int(config, "sliding_window")
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            {**config, "rope_scaling": None, "rope_parameters": _rope(config)},
            default_kv_heads=8,
            norm_eps=("rms_norm_eps", 1e-5),
            windows=(window,) * layer_count(config),
            qkv_bias=biased,
            o_bias=biased,
        )
        top_k = expert_count(config, "num_experts_per_tok")
        jitter = positive_float(config, "router_jitter_noise", 0.01)
        return replace(
            facts,
            norm="layer",
            norm_bias=True,
            head_bias=flag(config, "lm_head_bias"),
            moe=MoEConfig(
                num_experts=expert_count(config, "num_local_experts"),
                intermediate_size=facts.intermediate_size,
                routing=Routing(top_k, score="sparsemixer", jitter=jitter),
                layers=frozenset(range(facts.num_layers)),
            ),
        )


class PhimoeForCausalLM(PhiMoEForCausalLM):
    """The name in files that transformers 5 writes."""


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Rotary parameters whose factor on cosines and sines is what the file calls mscale."""
    rope = rope_parameters(config)
    if rope["rope_type"] == "default":
        return rope
    short, long = (positive_float(rope, key) for key in ("short_mscale", "long_mscale"))
    if short != long:
        raise ModelLoadError(
            f"config.json: 'short_mscale' {short} and 'long_mscale' {long} that differ are not "
            "implemented yet"
        )
    return {**rope, "attention_factor": short}
