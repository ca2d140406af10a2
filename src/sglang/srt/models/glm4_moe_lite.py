"""GLM-4.7-Flash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.deepseek_v2 import DeepseekV3ForCausalLM


class Glm4MoeLiteForCausalLM(DeepseekV3ForCausalLM):
    """DeepSeek V3 in small; the file may list the layers that have experts."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``mlp_layer_types`` before ``first_k_dense_replace``; without both the first is dense."""
        silent = {"rms_norm_eps": 1e-5, "first_k_dense_replace": 1}
        facts = DeepseekV3ForCausalLM.parse_config({**silent, **config})
        kinds = config.get("mlp_layer_types")
        if kinds is None or facts.moe is None:
            return facts
        known = isinstance(kinds, list) and all(kind in ("dense", "sparse") for kind in kinds)
        if not known or len(kinds) < facts.num_layers:
            raise ModelLoadError(
                f"config.json: 'mlp_layer_types' must list {facts.num_layers} layers, each dense "
                "or sparse"
            )
        sparse = frozenset(i for i in range(facts.num_layers) if kinds[i] == "sparse")
        return replace(facts, moe=replace(facts.moe, layers=sparse))
