"""Rotary position embedding: the table of cosines and sines for every scaling in use.

RoPE: Su et al., "RoFormer" (arXiv:2104.09864). Scalings: linear (position interpolation,
arXiv:2306.15595), dynamic (NTK-aware), yarn (arXiv:2309.00071), longrope (arXiv:2402.13753), and
the one of Llama 3.1. The parameter names and all conventions are those of transformers'
``rope_parameters``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_float, positive_int, rope_parameters


@dataclass(frozen=True)
class RopeConfig:
    """Facts of a rotary embedding; what a kind does not use keeps its default."""

    dim: int
    """Rotated dimensions of a head (even)."""
    theta: float
    kind: str = "default"
    """``default``, ``linear``, ``dynamic``, ``yarn``, ``longrope`` or ``llama3``."""
    factor: float = 1.0
    trained_length: int = 0
    """Context length before the scaling."""
    attention_factor: float = 1.0
    """Multiplies cosines and sines (yarn, longrope)."""
    short_attention_factor: float = 0.0
    """Longrope: in its place in a context of the trained length; 0: the same."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    """Yarn: round the ends of the ramp to whole dimensions."""
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    short_factors: tuple[float, ...] = ()
    """Longrope: what divides the frequency of each pair of dimensions, in a context of the trained
    length; ``long_factors`` in a longer one."""
    long_factors: tuple[float, ...] = ()


def parse_rope(config: Mapping[str, Any], dim: int) -> RopeConfig:
    """Read the rotary parameters of a (text) configuration; ``dim`` dimensions are rotated.

    Raises ModelLoadError for kinds that are not implemented and for senseless values.
    """
    rope = rope_parameters(config)
    kind = rope["rope_type"]
    if kind not in _INVERSE_FREQUENCIES:
        raise ModelLoadError(
            f"config.json: rope type {kind!r} is not implemented yet; "
            f"there are {', '.join(_INVERSE_FREQUENCIES)}"
        )
    if any(isinstance(value, dict) for value in rope.values()):
        raise ModelLoadError("config.json: rope parameters by layer are not implemented yet")
    if dim <= 0 or dim % 2:
        raise ModelLoadError(f"the rotary dimension must be even and positive, got {dim}")
    max_length = positive_int(config, "max_position_embeddings", 2048)
    trained = max_length
    if kind in ("yarn", "llama3", "longrope"):
        trained = positive_int(rope, "original_max_position_embeddings", max_length)
        trained = positive_int(config, "original_max_position_embeddings", trained)
    default_factor = max_length / trained if kind in ("yarn", "longrope") else None
    factor = 1.0 if kind == "default" else positive_float(rope, "factor", default_factor)
    result = RopeConfig(
        dim=dim,
        theta=positive_float(rope, "rope_theta"),
        kind=kind,
        factor=factor,
        trained_length=trained,
        attention_factor=_attention_factor(rope, kind, factor, trained),
        short_attention_factor=(
            positive_float(rope, "short_attention_factor")
            if rope.get("short_attention_factor") is not None
            else 0.0
        ),
        beta_fast=positive_float(rope, "beta_fast", 32.0),
        beta_slow=positive_float(rope, "beta_slow", 1.0),
        truncate=bool(rope.get("truncate", True)),
        low_freq_factor=positive_float(rope, "low_freq_factor", 1.0),
        high_freq_factor=positive_float(rope, "high_freq_factor", 4.0),
        short_factors=_factors(rope, "short_factor", dim) if kind == "longrope" else (),
        long_factors=_factors(rope, "long_factor", dim) if kind == "longrope" else (),
    )
    if kind == "llama3" and result.high_freq_factor <= result.low_freq_factor:
        raise ModelLoadError(
            "config.json: rope 'high_freq_factor' must be above 'low_freq_factor', got "
            f"{result.high_freq_factor} and {result.low_freq_factor}"
        )
    return result


def score_factor(config: Mapping[str, Any]) -> float:
    """What ``mscale_all_dim`` of a stretched context makes of the attention scores (DeepSeek).

    It lengthens all dimensions of queries and keys, also those that are not rotated.
    """
    rope = rope_parameters(config)
    if rope["rope_type"] == "default" or not rope.get("mscale_all_dim"):
        return 1.0
    return _magnitude(positive_float(rope, "factor"), positive_float(rope, "mscale_all_dim")) ** 2


def rotary_table(rope: RopeConfig, length: int, device: torch.device) -> torch.Tensor:
    """Cosines (first half of the columns) and sines, [length, rope.dim] float32.

    Row p depends on p alone, so that chunking and prefix sharing cannot change an answer. This
    matters for ``dynamic``, whose base grows with the sequence: rows below the trained length are
    unscaled, and row p beyond it uses the base of a sequence of p + 1 tokens. transformers does
    the same when it generates with a cache. It differs only where transformers reads a prompt
    longer than the trained length at once: then it gives all its tokens the base of the last.

    ``longrope`` has two sets of factors that do not go together in one sequence. The served
    length decides: the short ones if no sequence can be longer than the trained length.
    """
    positions = torch.arange(length, dtype=torch.float32)
    if rope.kind == "longrope" and length <= rope.trained_length:
        factor = rope.short_attention_factor or rope.attention_factor
        rope = replace(rope, long_factors=rope.short_factors, attention_factor=factor)
    angles = positions[:, None] * _INVERSE_FREQUENCIES[rope.kind](rope)
    if rope.kind == "dynamic" and length > rope.trained_length:
        beyond = positions[rope.trained_length :]
        angles[rope.trained_length :] = beyond[:, None] * _dynamic(rope, beyond + 1)
    table = torch.cat((angles.cos(), angles.sin()), dim=-1)
    return table.mul_(rope.attention_factor).to(device)


def _exponents(rope: RopeConfig) -> torch.Tensor:
    return torch.arange(0, rope.dim, 2, dtype=torch.float32) / rope.dim


def _default(rope: RopeConfig) -> torch.Tensor:
    """Angle per position of each pair of dimensions, [dim / 2]."""
    return 1.0 / (rope.theta ** _exponents(rope))


def _linear(rope: RopeConfig) -> torch.Tensor:
    return _default(rope) / rope.factor


def _dynamic(rope: RopeConfig, lengths: torch.Tensor) -> torch.Tensor:
    """Frequencies for sequences of ``lengths`` [n] tokens: [n, dim / 2]."""
    stretch = rope.factor * lengths / rope.trained_length - (rope.factor - 1)
    bases = rope.theta * stretch ** (rope.dim / (rope.dim - 2))
    return 1.0 / (bases[:, None] ** _exponents(rope))


def _yarn(rope: RopeConfig) -> torch.Tensor:
    """High frequencies as trained, low ones interpolated, a linear ramp over the dimensions."""

    def dimension(rotations: float) -> float:
        """The dimension that makes this many rotations within the trained length."""
        turns = math.log(rope.trained_length / (rotations * 2 * math.pi))
        return rope.dim * turns / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dim - 1)
    if low == high:
        high += 0.001
    steps = torch.arange(rope.dim // 2, dtype=torch.float32)
    interpolated = ((steps - low) / (high - low)).clamp(0, 1)
    frequencies = _default(rope)
    return frequencies / rope.factor * interpolated + frequencies * (1 - interpolated)


def _llama3(rope: RopeConfig) -> torch.Tensor:
    """Wavelengths beyond the trained length are stretched, short ones kept, between: blended."""
    frequencies = _default(rope)
    rotations = rope.trained_length * frequencies / (2 * math.pi)
    kept = (rotations - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = kept.clamp(0, 1)
    return (1 - kept) * frequencies / rope.factor + kept * frequencies


def _longrope(rope: RopeConfig) -> torch.Tensor:
    return _default(rope) / torch.tensor(rope.long_factors)


def _factors(rope: Mapping[str, Any], key: str, dim: int) -> tuple[float, ...]:
    values = rope.get(key)
    if not isinstance(values, list) or len(values) != dim // 2:
        raise ModelLoadError(f"config.json: rope '{key}' must list {dim // 2} numbers")
    return tuple(positive_float({key: value}, key) for value in values)


def _attention_factor(rope: Mapping[str, Any], kind: str, factor: float, trained: int) -> float:
    if kind == "yarn":
        return _yarn_attention_factor(rope, factor)
    if kind != "longrope":
        return 1.0
    stretched = math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 else 1.0
    return positive_float(rope, "attention_factor", stretched)


def _yarn_attention_factor(rope: Mapping[str, Any], factor: float) -> float:
    """Explicit, or from the factor, or a ratio of two such values if ``mscale`` is given."""
    if rope.get("attention_factor") is not None:
        return positive_float(rope, "attention_factor")

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return _magnitude(factor, positive_float(rope, "mscale")) / _magnitude(
            factor, positive_float(rope, "mscale_all_dim")
        )
    return _magnitude(factor, 1.0)


def _magnitude(factor: float, scale: float) -> float:
    """How much longer queries and keys are made in a context stretched by ``factor``."""
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


_INVERSE_FREQUENCIES: Mapping[str, Callable[[RopeConfig], torch.Tensor]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _default,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
