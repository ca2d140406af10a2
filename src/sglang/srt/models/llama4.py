"""Llama 4 Scout and Maverick, the text models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.kernels.routing import Routing
from sglang.srt.layers.temperature import Temperature
from sglang.srt.models.decoder import Decoder
from sglang.srt.models.decoder_config import DecoderConfig, flag, layer_count, parse_decoder
from sglang.srt.models.decoder_weights import DecoderNames
from sglang.srt.models.moe_config import MoEConfig, expert_count
from sglang.srt.models.moe_weights import MoENames


class Llama4ForCausalLM(Decoder):
    """Layers that are rotated and see a chunk, between some that see all and are not rotated.

    Experts get their input times a sigmoid, beside a shared one.
    """

    names = DecoderNames(
        gate="feed_forward.gate_proj",
        up="feed_forward.up_proj",
        down="feed_forward.down_proj",
        moe=(
            MoENames(
                router="feed_forward.router",
                fused_gate_up="feed_forward.experts.gate_up_proj",
                fused_down="feed_forward.experts.down_proj",
                fused_transposed=True,
                shared_gate="feed_forward.shared_expert.gate_proj",
                shared_up="feed_forward.shared_expert.up_proj",
                shared_down="feed_forward.shared_expert.down_proj",
            ),
        ),
    )

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """``intermediate_size`` is that of an expert, ``intermediate_size_mlp`` of other layers."""
        biased = flag(config, "attention_bias")
        facts = parse_decoder(
            {"rope_theta": 500_000.0, "max_position_embeddings": 131_072, **config},
            default_kv_heads=8,
            default_head_dim=128,
            norm_eps=("rms_norm_eps", 1e-5),
            qkv_bias=biased,
            o_bias=biased,
        )
        rotated = _rotated_layers(config)
        (rope,) = set(facts.ropes)
        return replace(
            facts,
            intermediate_size=positive_int(config, "intermediate_size_mlp", 16_384),
            ropes=tuple(rope if layer else None for layer in rotated),
            chunks=_chunks(config, rotated),
            temperatures=_temperatures(config, rotated),
            interleaved_rope=True,
            qk_norm="rotated" if flag(config, "use_qk_norm", default=True) else "none",
            moe=_mixture(config, facts),
        )


def _rotated_layers(config: Mapping[str, Any]) -> list[bool]:
    """``no_rope_layers`` says 1 where there is rotation; without it each fourth has none."""
    num_layers = layer_count(config)
    listed = config.get("no_rope_layers")
    if not listed:
        every = positive_int(config, "no_rope_layer_interval", 4)
        return [(layer + 1) % every > 0 for layer in range(num_layers)]
    if not isinstance(listed, list) or len(listed) < num_layers:
        raise ModelLoadError(f"config.json: 'no_rope_layers' must list {num_layers} layers")
    return [bool(layer) for layer in listed[:num_layers]]


def _chunks(config: Mapping[str, Any], rotated: list[bool]) -> tuple[int, ...]:
    """Rotated layers see a chunk, unless ``layer_types`` says which do."""
    size = 0
    if config.get("attention_chunk_size", 8192) is not None:
        size = positive_int(config, "attention_chunk_size", 8192)
    kinds = config.get("layer_types")
    if kinds is None:
        return tuple(size if layer else 0 for layer in rotated)
    known = ("full_attention", "chunked_attention")
    if not isinstance(kinds, list) or len(kinds) < len(rotated) or set(kinds) - set(known):
        raise ModelLoadError(
            f"config.json: 'layer_types' must name one of {known} for {len(rotated)} layers"
        )
    return tuple(size if kind == "chunked_attention" else 0 for kind in kinds[: len(rotated)])


def _temperatures(config: Mapping[str, Any], rotated: list[bool]) -> tuple[Temperature | None, ...]:
    if not flag(config, "attn_temperature_tuning", default=True):
        return ()
    found = Temperature(
        positive_float(config, "attn_scale", 0.1), positive_int(config, "floor_scale", 8192)
    )
    return tuple(None if layer else found for layer in rotated)


def _mixture(config: Mapping[str, Any], facts: DecoderConfig) -> MoEConfig:
    step = positive_int(config, "interleave_moe_layer_step", 1)
    layers = config.get("moe_layers")
    if layers is None:
        layers = list(range(step - 1, facts.num_layers, step))
    if not isinstance(layers, list) or not all(type(layer) is int for layer in layers):
        raise ModelLoadError(f"config.json: 'moe_layers' must list layers, got {layers!r}")
    keys = {"num_local_experts": 16, "num_experts_per_tok": 1, **config}
    return MoEConfig(
        num_experts=expert_count(keys, "num_local_experts"),
        intermediate_size=facts.intermediate_size,
        routing=Routing(expert_count(keys, "num_experts_per_tok"), score="sigmoid"),
        layers=frozenset(layers),
        shared_size=facts.intermediate_size,
        scale_input=True,
    )
