"""The facts that tell one decoder family from another, normalised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int
from sglang.srt.layers.rotary import RopeConfig, parse_rope


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder of pre-norm blocks: RMS norm, rotary attention, SiLU-gated MLP."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float
    rope: RopeConfig
    windows: tuple[int, ...]
    """Per layer: how many of the last positions a query sees, itself included; 0: all."""
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    """RMS norm of each query and key head before the rotation."""
    tie_embeddings: bool = False
    """The embedding table also gives the scores of the next token."""


def parse_decoder(
    config: Mapping[str, Any],
    *,
    default_kv_heads: int | None = None,
    default_head_dim: int | None = None,
    windows: tuple[int, ...] | None = None,
    qkv_bias: bool = False,
    o_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: bool = False,
) -> DecoderConfig:
    """Map the keys that all families share; the rest is the family's to say.

    ``default_kv_heads`` (else: as many as query heads) and ``default_head_dim`` (else: hidden size
    / heads) apply where the file is silent. ``windows`` None: full attention everywhere.
    Raises ModelLoadError naming the field that is missing, senseless or not implemented.
    """
    activation = config.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise ModelLoadError(f"config.json: hidden_act {activation!r} is not implemented yet")
    if config.get("partial_rotary_factor") not in (None, 1, 1.0):
        raise ModelLoadError("config.json: 'partial_rotary_factor' is not implemented yet")
    hidden_size = positive_int(config, "hidden_size")
    num_heads = positive_int(config, "num_attention_heads")
    num_kv_heads = positive_int(config, "num_key_value_heads", default_kv_heads or num_heads)
    if num_heads % num_kv_heads:
        raise ModelLoadError(
            f"config.json: num_attention_heads {num_heads} is no multiple of "
            f"num_key_value_heads {num_kv_heads}"
        )
    if not default_head_dim:
        if config.get("head_dim") is None and hidden_size % num_heads:
            raise ModelLoadError(
                f"config.json: hidden_size {hidden_size} is no multiple of num_attention_heads "
                f"{num_heads}, and there is no head_dim"
            )
        default_head_dim = hidden_size // num_heads
    head_dim = positive_int(config, "head_dim", default_head_dim)
    num_layers = layer_count(config)
    return DecoderConfig(
        vocab_size=positive_int(config, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=positive_int(config, "intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        norm_eps=positive_float(config, "rms_norm_eps", 1e-6),
        rope=parse_rope(config, head_dim),
        windows=(0,) * num_layers if windows is None else windows,
        qkv_bias=qkv_bias,
        o_bias=o_bias,
        mlp_bias=mlp_bias,
        qk_norm=qk_norm,
        tie_embeddings=flag(config, "tie_word_embeddings"),
    )


def layer_count(config: Mapping[str, Any]) -> int:
    """``num_hidden_layers``, within reason."""
    return positive_int(config, "num_hidden_layers", limit=10_000)


def flag(config: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """``config[key]`` as a boolean; an absent or null entry gives ``default``."""
    value = config.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelLoadError(f"config.json: '{key}' must be true or false, got {value!r}")
    return value


def windows_by_layer_type(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Sliding windows of the Qwen families, one a layer.

    ``use_sliding_window`` switches ``sliding_window`` on for the layers that ``layer_types`` calls
    ``sliding_attention``; without that list, for all from ``max_window_layers`` on.
    """
    num_layers = layer_count(config)
    window = 0
    if flag(config, "use_sliding_window") and config.get("sliding_window", 4096) is not None:
        window = positive_int(config, "sliding_window", 4096)
    types = config.get("layer_types")
    if types is None:
        first = config.get("max_window_layers", 28)
        if isinstance(first, bool) or not isinstance(first, int):
            raise ModelLoadError(
                f"config.json: 'max_window_layers' must be an integer, got {first!r}"
            )
        return tuple(window if layer >= first else 0 for layer in range(num_layers))
    if not isinstance(types, list) or len(types) < num_layers:
        raise ModelLoadError(f"config.json: 'layer_types' must list {num_layers} layers")
    windows = []
    for kind in types[:num_layers]:
        if kind not in ("full_attention", "sliding_attention"):
            raise ModelLoadError(f"config.json: layer type {kind!r} is not implemented yet")
        if kind == "sliding_attention" and not window:
            raise ModelLoadError("config.json: 'layer_types' slides but there is no sliding_window")
        windows.append(window if kind == "sliding_attention" else 0)
    return tuple(windows)
