"""SmolLM3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, layer_count, parse_decoder
from sglang.srt.models.decoder_windows import windows_by_layer_type


class SmolLM3ForCausalLM(Decoder):
    """Llama without positions on every fourth layer."""

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """A window, if there is one at all, is for the layers without positions."""
        rotated = _rotated_layers(config)
        window = 0
        if flag(config, "use_sliding_window") and config.get("sliding_window") is not None:
            window = positive_int(config, "sliding_window")
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            {"rope_theta": 2e6, **config},
            default_kv_heads=4,
            default_tied=True,
            windows=windows_by_layer_type(config, window, lambda layer: not rotated[layer]),
            qkv_bias=biased,
            o_bias=biased,
            mlp_bias=flag(config, "mlp_bias"),
        )
        ropes = zip(facts.ropes, rotated, strict=True)
        return replace(facts, ropes=tuple(rope if turns else None for rope, turns in ropes))


def _rotated_layers(config: Mapping[str, Any]) -> list[bool]:
    """``no_rope_layers`` has a 1, in spite of its name, for each layer that is rotated."""
    count, listed = layer_count(config), config.get("no_rope_layers")
    if listed is None:
        interval = positive_int(config, "no_rope_layer_interval", 4)
        return [(layer + 1) % interval > 0 for layer in range(count)]
    if (
        not isinstance(listed, list)
        or len(listed) < count
        or any(one not in (0, 1) for one in listed)
    ):
        raise ModelLoadError(f"config.json: 'no_rope_layers' must list 0 or 1 for {count} layers")
    return [bool(one) for one in listed[:count]]
