"""gpt-oss 20B and 120B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.decoder_windows import windows_by_pattern
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames

_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}
_ALPHA = 1.702


class GptOssForCausalLM(Decoder):
    """Attention sinks, a window on every other layer, experts with biases and a clamped SwiGLU.

    Its experts are published in MXFP4, see ``model_loader.formats.mxfp4``.
    """

    names = DecoderNames(
        moe=(MoENames(router="mlp.router", fused_transposed=True, interleaved=True),)
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Where the file is silent, the first layer has the window, and rotation is by YaRN."""
        biased = flag(config, "attention_bias", default=True)
        if positive_float(config, "swiglu_alpha", _ALPHA) != _ALPHA:
            raise ModelLoadError(
                f"config.json: 'swiglu_alpha' must be {_ALPHA}, got {config['swiglu_alpha']!r}"
            )
        experts = expert_count(config, "num_local_experts")
        keys = {"rope_theta": 150_000.0, "max_position_embeddings": 131_072, **config}
        if not (config.get("rope_parameters") or config.get("rope_scaling")):
            keys["rope_scaling"] = _ROPE
        facts = parse_decoder(
            keys,
            default_head_dim=64,
            norm_eps=("rms_norm_eps", 1e-5),
            windows=windows_by_pattern(config, 128, default_pattern=2),
            qkv_bias=biased,
            o_bias=biased,
        )
        top_k = positive_int(config, "num_experts_per_tok", config.get("experts_per_token") or 4)
        return replace(
            facts,
            sinks=True,
            activation="clamped_swiglu",
            activation_limit=positive_float(config, "swiglu_limit", 7.0),
            moe=MoEConfig(
                num_experts=experts,
                intermediate_size=facts.intermediate_size,
                routing=Routing(top_k, renormalize=True),
                layers=frozenset(range(facts.num_layers)),
                router_bias=True,
                expert_bias=True,
            ),
        )
