"""Products with weights of 8 and 4 bits.

8-bit weights with 8-bit activations are multiplied as integers, exactly as the reference does.
Where the scheme asks for activations of more bits, or the weights have 4 bits, activations stay
floating-point numbers, which loses less than to round them: the weights become such on the way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from sglang.srt.kernels.interface import PackedLinear
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.kernels.triton.launch import FUSED, UNFUSED, block_of, product, row_stride, warps_of

_TINY = tl.constexpr(1e-30)
"""What is smaller counts as zero."""
_GROUP_OF_8_BITS = 128
"""Inputs that are multiplied at a time where all of a channel share a scale."""


def pack(weight: QuantizedWeight) -> PackedLinear:
    """8-bit codes [N, K] as they are; of 4 bits two a byte, as [N, G, size / 2] uint8.

    In a group, byte j holds code j in its lower half and code j + size / 2 in its upper one, each
    plus 8, so that both halves are consecutive inputs.
    """
    n, k = weight.codes.shape
    size = weight.scheme.group_size
    if weight.scheme.floats or weight.scheme.zeros:
        raise ValueError(f"products with {weight.scheme} are not implemented yet on GPUs")
    if not size:
        codes = weight.codes.contiguous()
        return PackedLinear(codes, n, k, weight.scheme, weight.scales.contiguous())
    filled = F.pad(weight.codes, (0, -k % size)) + 8
    halves = filled.to(torch.uint8).view(n, -1, 2, size // 2)
    data = halves[:, :, 0] | (halves[:, :, 1] << 4)
    return PackedLinear(data.contiguous(), n, k, weight.scheme, weight.scales.contiguous())


def quantized_linear(
    x: torch.Tensor,
    packed: PackedLinear,
    bias: torch.Tensor | None,
    out_dtype: torch.dtype | None,
) -> torch.Tensor:
    """See ``interface.Kernels.linear``; ``packed`` is of ``pack``."""
    rows, k = x.shape
    n, scheme, scales = packed.out_features, packed.scheme, packed.scales
    assert scheme is not None
    assert scales is not None
    if k != packed.in_features:
        raise ValueError(f"x must be [T, {packed.in_features}], got {list(x.shape)}")
    out = torch.empty((rows, n), dtype=out_dtype or x.dtype, device=x.device)
    if not out.numel():
        return out
    block_m = min(block_of(rows, least=16), 64)
    block_n = 32 if rows <= 16 else 64
    grid = (triton.cdiv(rows, block_m), triton.cdiv(n, block_n))
    has_bias, bias = bias is not None, out if bias is None else bias
    if scheme.bits == 8 and scheme.activation_bits == 8:
        codes = torch.empty((rows, k), dtype=torch.int8, device=x.device)
        steps = torch.empty(rows, dtype=torch.float32, device=x.device)
        block = block_of(k)
        _quantize_rows[(rows,)](
            x,
            row_stride("x", x),
            codes,
            steps,
            k,
            block=block,
            num_warps=warps_of(block),
            **UNFUSED,
        )
        _multiply_integers[grid](
            codes, steps, packed.data, scales, bias, out, rows, n, k,
            has_bias=has_bias, block_m=block_m, block_n=block_n, block_k=128, num_warps=4,
            **UNFUSED,
        )  # fmt: skip
        return out
    half = scheme.group_size // 2 if scheme.bits == 4 else _GROUP_OF_8_BITS
    _multiply_widened[grid](
        x, row_stride("x", x), packed.data, scales, bias, out, rows, n, k,
        four_bits=scheme.bits == 4, half=half,
        has_bias=has_bias, block_m=block_m, block_n=block_n, num_warps=4,
        **FUSED,
    )  # fmt: skip
    return out


@triton.jit
def _quantize_rows(
    x: tl.tensor,
    stride: int,
    codes: tl.tensor,
    steps: tl.tensor,
    width: int,
    block: tl.constexpr,
) -> None:
    """x[T, K] = codes * step of the row, where a row's largest magnitude becomes 127."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    inside = column < width
    value = tl.load(x + row * stride + column, mask=inside, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(value), axis=0)
    empty = largest < _TINY
    inverse = tl.where(empty, 0.0, tl.div_rn(127.0, tl.where(empty, 1.0, largest)))
    rounded = (value * inverse + 12582912.0) - 12582912.0  # halves to even numbers
    tl.store(codes + row * width + column, rounded.to(tl.int8), mask=inside)
    # Not finite where a value is not.
    poison = tl.sum(value * 0.0, axis=0)
    tl.store(steps + row, tl.where(empty, 0.0, tl.div_rn(largest, 127.0)) + poison)


@triton.jit(do_not_specialize=["rows"])
def _multiply_integers(
    x: tl.tensor,
    steps: tl.tensor,
    weight: tl.tensor,
    scales: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    rows: int,
    n: int,
    k: int,
    has_bias: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
    block_k: tl.constexpr,
) -> None:
    """x[rows, k] int8 times the transpose of weight[n, k] int8; the sums are exact."""
    row = (tl.program_id(0) * block_m + tl.arange(0, block_m)).to(tl.int64)
    column = (tl.program_id(1) * block_n + tl.arange(0, block_n)).to(tl.int64)
    in_rows, in_columns = row < rows, column < n
    total = tl.zeros([block_m, block_n], dtype=tl.int32)
    for start in range(0, k, block_k):
        at = start + tl.arange(0, block_k)
        there = at < k
        left = tl.load(
            x + row[:, None] * k + at[None, :], mask=in_rows[:, None] & there[None, :], other=0
        )
        right = tl.load(
            weight + column[None, :] * k + at[:, None],
            mask=in_columns[None, :] & there[:, None],
            other=0,
        )
        total = tl.dot(left, right, total, out_dtype=tl.int32)
    step = tl.load(steps + row, mask=in_rows, other=0.0)
    scale = tl.load(scales + column, mask=in_columns, other=0.0)
    result = total.to(tl.float32) * step[:, None] * scale[None, :]
    if has_bias:
        result += tl.load(bias + column, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    target = out + row[:, None] * n + column[None, :]
    inside = in_rows[:, None] & in_columns[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def _multiply_widened(
    x: tl.tensor,
    x_stride: int,
    weight: tl.tensor,
    scales: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    rows: int,
    n: int,
    k: int,
    four_bits: tl.constexpr,
    half: tl.constexpr,
    has_bias: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
) -> None:
    """x[rows, k] times the transpose of a weight of ``pack``, ``half`` inputs of it at a time."""
    row = (tl.program_id(0) * block_m + tl.arange(0, block_m)).to(tl.int64)
    column = (tl.program_id(1) * block_n + tl.arange(0, block_n)).to(tl.int64)
    in_rows, in_columns = row < rows, column < n
    within = tl.arange(0, half)
    source = x + row[:, None] * x_stride
    total = tl.zeros([block_m, block_n], dtype=tl.float32)
    if four_bits:
        groups = tl.cdiv(k, 2 * half)
        for group in range(groups):
            at = group * (2 * half) + within
            first = tl.load(
                source + at[None, :], mask=in_rows[:, None] & (at < k)[None, :], other=0.0
            )
            at += half
            second = tl.load(
                source + at[None, :], mask=in_rows[:, None] & (at < k)[None, :], other=0.0
            )
            place = weight + (column * groups + group)[None, :] * half + within[:, None]
            pair = tl.load(place, mask=in_columns[None, :], other=0).to(tl.int32)
            low, high = ((pair & 15) - 8).to(tl.float32), ((pair >> 4) - 8).to(tl.float32)
            zeros = tl.zeros([block_m, block_n], dtype=tl.float32)
            part = product(first, low.to(x.dtype.element_ty), zeros)
            part = product(second, high.to(x.dtype.element_ty), part)
            scale = tl.load(scales + column * groups + group, mask=in_columns, other=0.0)
            total += part * scale.to(tl.float32)[None, :]
    else:
        for start in range(0, k, half):
            at = start + within
            there = at < k
            left = tl.load(source + at[None, :], mask=in_rows[:, None] & there[None, :], other=0.0)
            right = tl.load(
                weight + column[None, :] * k + at[:, None],
                mask=in_columns[None, :] & there[:, None],
                other=0,
            )
            total = product(left, right.to(tl.float32).to(x.dtype.element_ty), total)
        total *= tl.load(scales + column, mask=in_columns, other=0.0)[None, :]
    if has_bias:
        total += tl.load(bias + column, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    target = out + row[:, None] * n + column[None, :]
    inside = in_rows[:, None] & in_columns[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=inside)
