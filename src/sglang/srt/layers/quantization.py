"""The quantizations that can be asked for by name, and what each does to which matrix."""

from __future__ import annotations

from dataclasses import dataclass

from sglang.srt.kernels.quantization import WeightScheme

_INT8 = WeightScheme(bits=8, activation_bits=8)
_INT8_WEIGHT_ONLY = WeightScheme(bits=8, activation_bits=16)


@dataclass(frozen=True, slots=True)
class Quantization:
    """The scheme of each kind of matrix; the embedding table, which is only looked up, stays."""

    layers: WeightScheme
    """Of the projections of attention and MLP."""
    head: WeightScheme
    """Of the matrix that scores the vocabulary."""


def _int4(group_size: int) -> Quantization:
    """The head keeps 8 bits: every token depends on it directly."""
    return Quantization(WeightScheme(bits=4, group_size=group_size), _INT8)


QUANTIZATIONS: dict[str, Quantization] = {
    "w8a8_int8": Quantization(_INT8, _INT8),
    "int8dq": Quantization(_INT8, _INT8),
    "int8wo": Quantization(_INT8_WEIGHT_ONLY, _INT8_WEIGHT_ONLY),
    "int4wo-32": _int4(32),
    "int4wo-64": _int4(64),
    "int4wo-128": _int4(128),
    "int4wo-256": _int4(256),
}
"""By the values of ``--quantization`` and ``--torchao-config``."""


def quantization_named(name: str | None) -> Quantization | None:
    """None for None. Raises ValueError for a name that is not known."""
    if name is None:
        return None
    if name not in QUANTIZATIONS:
        raise ValueError(f"quantization is {name!r}; known: {', '.join(QUANTIZATIONS)}")
    return QUANTIZATIONS[name]
