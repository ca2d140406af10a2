"""Weights of 8 and 4 bits: what they are, and the operations on them in plain torch.

A weight is ``code * scale``: 8-bit codes -127 .. 127 with one scale for each output channel, or
4-bit codes -8 .. 7 with one scale for each group of consecutive inputs of a channel. Checkpoints
may have a zero point for each group, too: ``(code - zero) * scale``. Activations are turned into
integers for each product: 8-bit ones with one scale a token (beside 4-bit weights one for each
group of a token), or 16-bit ones, which lose less than bfloat16 does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

GROUP_SIZES = (32, 64, 128, 256)

MAX_IN_FEATURES = 1 << 17
"""So many products of 8-bit integers surely fit a 32-bit sum."""

_ACTIVATION_TOP = {8: 127.0, 16: 127.0 * 254.0}
_TINY = 1e-30
"""What is smaller counts as zero: the inverse of its scale would be infinite."""

_SEARCHED = tuple(0.55 + 0.05 * i for i in range(13))
"""4-bit scales that are tried, as multiples of the largest value / -8."""


@dataclass(frozen=True, slots=True)
class WeightScheme:
    """How the weights of a matrix, and the activations it meets, become integers."""

    bits: int
    """Of a weight: 8 or 4."""
    group_size: int = 0
    """Consecutive inputs that share a scale, one of ``GROUP_SIZES``; 8 bits have 0: all of them."""
    activation_bits: int = 8
    """8, or beside 8-bit weights 16."""
    floats: bool = False
    """4-bit weights are floats (E2M1): their codes are twice these, 0, 1, 2, 3, 4, 6, 8, 12 and the
    same below zero."""
    zeros: bool = False
    """Each group of 4-bit integers has a zero point."""

    def __post_init__(self) -> None:
        known = (self.bits == 8 and self.group_size == 0 and self.activation_bits in (8, 16)) or (
            self.bits == 4 and self.group_size in GROUP_SIZES and self.activation_bits == 8
        )
        kinds = self.floats + self.zeros
        if not known or kinds > (1 if self.bits == 4 else 0):
            raise ValueError(f"there is no {self}")


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """A weight matrix [N, K] as integers."""

    codes: torch.Tensor
    """[N, K] int8."""
    scales: torch.Tensor
    """[N] float32, or [N, ceil(K / group_size)] bfloat16."""
    scheme: WeightScheme
    zeros: torch.Tensor | None = None
    """As the scales, where the scheme says so: any numbers, though integers are what is exact."""

    def dequantize(self) -> torch.Tensor:
        """The matrix [N, K] float32 that the integers stand for."""
        codes, scales, size = self.codes.float(), self.scales.float(), self.scheme.group_size
        if not size:
            return codes * scales[:, None]
        if self.zeros is not None:
            codes -= _of_columns(self.zeros.float(), size, codes.shape[1])
        return codes * _of_columns(scales, size, codes.shape[1])

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> QuantizedWeight:
        """The weight with other rows: ``change`` does the same to those of all tensors."""
        zeros = None if self.zeros is None else change(self.zeros)
        return QuantizedWeight(change(self.codes), change(self.scales), self.scheme, zeros)

    def check(self) -> None:
        """Raises ValueError for tensors that are not as they are said to be here."""
        n, k = self.codes.shape
        size = self.scheme.group_size
        shape, dtype = ((n, -(-k // size)), torch.bfloat16) if size else ((n,), torch.float32)
        expected = {"codes": ((n, k), torch.int8), "scales": (shape, dtype)}
        found = {"codes": self.codes, "scales": self.scales}
        if self.scheme.zeros:
            expected["zeros"] = shape, dtype
        if self.zeros is not None:
            found["zeros"] = self.zeros
        if expected.keys() != found.keys():
            raise ValueError(f"{self.scheme} has {', '.join(expected)}, got {', '.join(found)}")
        for name, (wanted, kind) in expected.items():
            tensor = found[name]
            if tensor.shape != wanted or tensor.dtype != kind:
                raise ValueError(
                    f"{self.scheme} of [{n}, {k}] has {kind} {name} {list(wanted)}, "
                    f"got {tensor.dtype} {list(tensor.shape)}"
                )


def stack(weights: Sequence[QuantizedWeight]) -> QuantizedWeight:
    """Weights of one scheme, one below the other."""
    zeros = [each.zeros for each in weights if each.zeros is not None]
    return QuantizedWeight(
        torch.cat([each.codes for each in weights]),
        torch.cat([each.scales for each in weights]),
        weights[0].scheme,
        torch.cat(zeros) if zeros else None,
    )


def from_minima(codes: torch.Tensor, scales: torch.Tensor, minima: torch.Tensor) -> QuantizedWeight:
    """Weights ``code * scale + minimum`` of codes [N, K] 0 .. 15 and float32 [N, G] each.

    The middle of the codes keeps its place when scales become bfloat16. Groups of one value have
    scale 0: that value becomes the scale, and their codes one.
    """
    flat = scales == 0
    size = codes.shape[1] // scales.shape[1]
    rounded = torch.where(flat, minima, scales).bfloat16()
    middle = -(minima + 8 * scales) / torch.where(flat, torch.ones_like(scales), rounded.float())
    zeros = torch.where(flat, torch.zeros_like(middle), middle).bfloat16()
    ones = _of_columns(flat, size, codes.shape[1])
    codes = torch.where(ones, torch.ones_like(codes), codes - 8)
    return QuantizedWeight(codes, rounded, WeightScheme(4, size, zeros=True), zeros)


def quantize_weight(weight: torch.Tensor, scheme: WeightScheme) -> QuantizedWeight:
    """The integers closest to weight[N, K] (any floating dtype).

    8 bits: the largest magnitude of a channel becomes 127. 4 bits: of some scales the one with the
    least squared error in its group. Raises ValueError if K is too large.
    """
    check_in_features(weight.shape[1])
    check_made(scheme)
    wide = weight.float()
    if not scheme.group_size:
        scales = _nonzero(wide.abs().amax(dim=1) / 127.0)
        codes = (wide * _inverse(scales)[:, None]).round().clamp(-127, 127)
        return QuantizedWeight(codes.to(torch.int8), scales, scheme)
    groups = _in_groups(wide, scheme.group_size)
    most, least_value = groups.amax(-1, keepdim=True), groups.amin(-1, keepdim=True)
    top = torch.where(most >= -least_value, most, least_value)
    best = torch.zeros_like(top)
    least = torch.full_like(top, torch.inf)
    for factor in _SEARCHED:
        scale = _nonzero(top / -8.0 * factor).bfloat16().float()
        error = (_nibbles(groups, scale) * scale - groups).square().sum(-1, keepdim=True)
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    codes = _nibbles(groups, best).flatten(1)[:, : weight.shape[1]]
    return QuantizedWeight(codes.to(torch.int8), best.squeeze(-1).bfloat16(), scheme)


def quantized_linear(
    x: torch.Tensor,
    codes: torch.Tensor,
    scales: torch.Tensor,
    scheme: WeightScheme,
    bias: torch.Tensor | None = None,
    *,
    zeros: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """x[T, K] times the transposed weight of ``codes`` and what else it has, plus bias[N]: [T, N].

    Integer sums are exact (they are taken in float64), groups are added in their order in float32.
    """
    size = scheme.group_size or codes.shape[1]
    integers, steps = quantize_activations(x, size, scheme.activation_bits)
    weights = _in_groups(codes.double(), size)
    weight_steps = scales.float().view(codes.shape[0], -1)
    total = torch.zeros(x.shape[0], codes.shape[0], device=x.device)
    for group in range(integers.shape[1]):
        product = integers[:, group] @ weights[:, group].T
        if zeros is not None:
            product -= integers[:, group].sum(-1, keepdim=True) * zeros[:, group].double()
        total += product.float() * steps[:, group, None] * weight_steps[:, group]
    if bias is not None:
        total += bias.float()
    return total.to(out_dtype or x.dtype)


def quantize_activations(
    x: torch.Tensor, group_size: int, bits: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integers [T, G, group_size] float64 and their scales [T, G] float32 for x[T, K]."""
    groups = _in_groups(x.float(), group_size)
    largest = groups.abs().amax(dim=-1)
    top = torch.full_like(largest, _ACTIVATION_TOP[bits])
    inverse = torch.where(largest < _TINY, torch.zeros_like(largest), top / largest)
    integers = (groups * inverse[..., None]).round().double()
    return integers, _nonzero(largest, largest / top)


def check_made(scheme: WeightScheme) -> None:
    """Raises ValueError for schemes that only checkpoints have."""
    if scheme.floats or scheme.zeros:
        raise ValueError(f"weights cannot be turned into {scheme}")


def check_in_features(count: int) -> None:
    """Raises ValueError where sums of so many products might not fit 32 bits."""
    if count > MAX_IN_FEATURES:
        raise ValueError(
            f"matrices of {count} inputs cannot be quantized: the most are {MAX_IN_FEATURES}"
        )


def _of_columns(values: torch.Tensor, size: int, columns: int) -> torch.Tensor:
    """[N, G] of groups as [N, columns]."""
    return values.repeat_interleave(size, dim=1)[:, :columns]


def _in_groups(x: torch.Tensor, size: int) -> torch.Tensor:
    """[R, K] as [R, ceil(K / size), size], filled up with zeros."""
    missing = -x.shape[1] % size
    return F.pad(x, (0, missing)).view(len(x), -1, size)


def _nibbles(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (groups * _inverse(scale)).round().clamp(-8, 7)


def _nonzero(x: torch.Tensor, result: torch.Tensor | None = None) -> torch.Tensor:
    """``result`` (or x), and zero where x is next to nothing."""
    result = x if result is None else result
    return torch.where(x.abs() < _TINY, torch.zeros_like(result), result)


def _inverse(scale: torch.Tensor) -> torch.Tensor:
    return torch.where(scale == 0, torch.zeros_like(scale), 1.0 / scale)
