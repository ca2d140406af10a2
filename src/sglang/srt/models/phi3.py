"""Phi-3, Phi-3.5 and Phi-4, dense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, layer_count, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames


class Phi3ForCausalLM(Decoder):
    """Llama with fused projections, a partial rotation, two sets of rotary factors, and windows."""

    names = DecoderNames(qkv="self_attn.qkv_proj", gate_up="mlp.gate_up_proj")

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """The scaling of the first checkpoints was called "su" or "yarn"; it is longrope."""
        scaling = config.get("rope_scaling")
        if isinstance(scaling, dict):
            kind = scaling.get("rope_type", scaling.get("type"))
            if kind in ("su", "yarn"):
                config = {**config, "rope_scaling": {**scaling, "rope_type": "longrope"}}
            elif kind not in ("longrope", "default"):
                raise ModelLoadError(f"config.json: there is no Phi-3 with rope type {kind!r}")
        window = 0
        if config.get("sliding_window") is not None:
            window = positive_int(config, "sliding_window")
        windows = (window,) * layer_count(config)
        return parse_decoder(
            config, default_rotary=1.0, norm_eps=("rms_norm_eps", 1e-5), windows=windows
        )
