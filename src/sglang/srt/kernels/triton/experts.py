"""A mixture of experts: tokens sorted by expert, and matrix products over groups of them.

A pair is a token and one of its k experts, number t * k + j. The pairs of an expert fill whole
blocks of ``block_m`` places, the last one with places that stay empty; a program multiplies a block
with part of its expert's matrix. The size of every launch follows from T, k and the number of
experts, so that a graph can record them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.interface import Activation, PackedExperts
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.kernels.triton.activation import activated, factor_of
from sglang.srt.kernels.triton.launch import FUSED, UNFUSED, block_of, product, row_stride

SCAN = 1024
"""Pairs that a sorting program looks at together."""
MAX_BLOCK = 1024
_TOGETHER = tl.constexpr(8)
"""Blocks whose programs follow one another for each part of a matrix, which they share."""


def pack_experts(
    weights: Iterable[torch.Tensor | QuantizedWeight], count: int, bias: torch.Tensor | None
) -> PackedExperts:
    """See ``interface.Kernels``; matrices that are not quantized, [E, N, K] as they are."""
    data, number = None, 0
    for number, weight in enumerate(weights, start=1):
        if isinstance(weight, QuantizedWeight) or number > count:
            raise _unlike(count, number)
        if data is None:
            data = weight.new_empty((count, *weight.shape))
        if weight.shape != data.shape[1:] or weight.dtype != data.dtype:
            raise _unlike(count, number)
        data[number - 1] = weight
    if data is None or number < count:
        raise _unlike(count, number + 1)
    return PackedExperts(data, data.shape[1], data.shape[2], bias=bias)


def _unlike(count: int, number: int) -> ValueError:
    return ValueError(
        f"there must be {count} experts whose matrices are alike; number {number} is missing, "
        "too much, or unlike the first"
    )


@triton.jit(do_not_specialize=["pairs"])
def _count_pairs(experts: tl.tensor, counts: tl.tensor, pairs: int, block: tl.constexpr) -> None:
    """How many pairs each expert has, a program an expert."""
    expert = tl.program_id(0)
    found = tl.zeros([block], dtype=tl.int32)
    for start in range(0, pairs, block):
        pair = start + tl.arange(0, block)
        own = tl.load(experts + pair, mask=pair < pairs, other=-1)
        found += (own == expert).to(tl.int32)
    tl.store(counts + expert, tl.sum(found, axis=0))


@triton.jit(do_not_specialize=["pairs", "blocks"])
def _place_pairs(
    experts: tl.tensor,
    counts: tl.tensor,
    places: tl.tensor,
    owners: tl.tensor,
    pairs: int,
    num_experts: int,
    blocks: int,
    block_m: tl.constexpr,
    block_e: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Fill ``places`` with an expert's pairs, in order, and tell its blocks whose they are.

    An empty place is ``pairs``; a block that nobody has belongs to expert -1. A program an expert.
    """
    expert = tl.program_id(0)
    each = tl.arange(0, block_e)
    needed = tl.cdiv(tl.load(counts + each, mask=each < num_experts, other=0), block_m)
    first = tl.sum(tl.where(each < expert, needed, 0), axis=0)
    own = tl.sum(tl.where(each == expert, needed, 0), axis=0)
    for number in range(first, first + own):
        tl.store(owners + number, expert)
    if expert == num_experts - 1:
        for number in range(first + own, blocks):
            tl.store(owners + number, -1)
    place = first * block_m
    for start in range(0, pairs, block):
        pair = start + tl.arange(0, block)
        here = tl.load(experts + pair, mask=pair < pairs, other=-1) == expert
        rank = tl.cumsum(here.to(tl.int32), axis=0)
        tl.store(places + place + rank - 1, pair, mask=here)
        place += tl.sum(here.to(tl.int32), axis=0)
    empty = place + tl.arange(0, block_m)
    tl.store(places + empty, empty * 0 + pairs, mask=empty < (first + own) * block_m)


@triton.jit(do_not_specialize=["pairs", "blocks"])
def _multiply(
    x: tl.tensor,
    x_stride: int,
    weight: tl.tensor,
    bias: tl.tensor,
    scales: tl.tensor,
    out: tl.tensor,
    places: tl.tensor,
    owners: tl.tensor,
    pairs: int,
    blocks: int,
    width: int,
    k: int,
    limit: float,
    sharers: tl.constexpr,
    kind: tl.constexpr,
    has_bias: tl.constexpr,
    scaled: tl.constexpr,
    even: tl.constexpr,
    block_m: tl.constexpr,
    block_n: tl.constexpr,
    block_k: tl.constexpr,
) -> None:
    """out[pair, :width] from row ``pair // sharers`` of x[:, k] and the matrix of its expert.

    ``kind`` "": the product with weight[E, width, k]. Otherwise the matrix has twice as many rows,
    and the result is the activation of the first products times the others. ``scaled``: rows of x
    are first multiplied with their scale. ``even``: ``k`` is a multiple of ``block_k``.
    """
    pid, columns = tl.program_id(0), tl.cdiv(width, block_n)
    first = pid // (_TOGETHER * columns) * _TOGETHER
    together = tl.minimum(blocks - first, _TOGETHER)
    within = pid % (_TOGETHER * columns)
    number, part = first + within % together, within // together
    expert = tl.load(owners + number).to(tl.int64)
    if expert < 0:
        return
    pair = tl.load(places + number * block_m + tl.arange(0, block_m))
    filled = pair < pairs
    pair = pair.to(tl.int64)
    column = part * block_n + tl.arange(0, block_n)
    in_columns = column < width
    inner = tl.arange(0, block_k)
    source = x + (pair // sharers)[:, None] * x_stride + inner[None, :]
    gated: tl.constexpr = kind != ""
    height = width * 2 if gated else width
    matrix = weight + (expert * height + column)[None, :] * k + inner[:, None]
    beyond = weight + (expert * height + width + column)[None, :] * k + inner[:, None]
    total = tl.zeros([block_m, block_n], dtype=tl.float32)
    other = tl.zeros([block_m, block_n], dtype=tl.float32)
    if scaled:
        scale = tl.load(scales + pair, mask=filled, other=0.0)
    for start in range(0, k, block_k):
        left_mask, right_mask = filled[:, None], in_columns[None, :]
        if not even:
            there = start + inner < k
            left_mask, right_mask = left_mask & there[None, :], right_mask & there[:, None]
        left = tl.load(source + start, mask=left_mask, other=0.0)
        if scaled:
            left = (left.to(tl.float32) * scale[:, None]).to(x.dtype.element_ty)
        total = product(left, tl.load(matrix + start, mask=right_mask, other=0.0), total)
        if gated:
            other = product(left, tl.load(beyond + start, mask=right_mask, other=0.0), other)
    if has_bias:
        bias += expert * height + column
        total += tl.load(bias, mask=in_columns, other=0.0).to(tl.float32)[None, :]
        if gated:
            other += tl.load(bias + width, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    if gated:
        total = activated(total, limit, kind) * factor_of(other, limit, kind)
    target = out + pair[:, None] * width + column[None, :]
    inside = filled[:, None] & in_columns[None, :]
    tl.store(target, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _sum_pairs(
    found: tl.tensor,
    weights: tl.tensor,
    out: tl.tensor,
    width: int,
    top_k: tl.constexpr,
    weighted: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """The rows of a token's pairs, each with its weight, added in their order."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    total = tl.zeros([block], dtype=tl.float32)
    for j in tl.static_range(top_k):
        pair = row * top_k + j
        value = tl.load(found + pair * width + column, mask=inside, other=0.0).to(tl.float32)
        if weighted:
            value *= tl.load(weights + pair)
        total += value
    tl.store(out + row * width + column, total.to(out.dtype.element_ty), mask=inside)


@dataclass(frozen=True, slots=True)
class SortedPairs:
    """The pairs of a batch, by expert."""

    places: torch.Tensor
    """[blocks * block_m] int32: pairs, or their count where a place is empty."""
    owners: torch.Tensor
    """[blocks] int32: the expert of each block, -1 behind the last one."""
    block_m: int


def sort_pairs(experts: torch.Tensor, num_experts: int) -> SortedPairs:
    """Sort the pairs of experts[T, k]; there must be some."""
    pairs = experts.numel()
    average = pairs / num_experts
    block_m = 16 if average <= 16 else 32 if average <= 32 else 64 if average <= 128 else 128
    blocks = pairs // block_m + min(pairs, num_experts)
    counts = experts.new_empty(num_experts)
    owners, places = experts.new_empty(blocks), experts.new_empty(blocks * block_m)
    block = min(block_of(pairs), SCAN)
    grid, warps = (num_experts,), 4 if block == SCAN else 1
    _count_pairs[grid](experts, counts, pairs, block=block, num_warps=warps, **UNFUSED)
    _place_pairs[grid](
        experts,
        counts,
        places,
        owners,
        pairs,
        num_experts,
        blocks,
        block_m=block_m,
        block_e=block_of(num_experts),
        block=block,
        num_warps=warps,
        **UNFUSED,
    )
    return SortedPairs(places, owners, block_m)


def expert_mlp(
    x: torch.Tensor,
    experts: torch.Tensor,
    weights: torch.Tensor,
    up: PackedExperts,
    down: PackedExperts,
    *,
    kind: Activation,
    limit: float = 0.0,
    scale_input: bool = False,
) -> torch.Tensor:
    """See ``interface.Kernels``; ``up`` and ``down`` are of ``pack_experts``."""
    (tokens, hidden), (count, top_k) = x.shape, experts.shape
    if count != tokens or weights.shape != experts.shape or hidden != up.in_features:
        raise ValueError(
            f"x must be [T, {up.in_features}] with T rows of experts and weights, got "
            f"{list(x.shape)}, {list(experts.shape)} and {list(weights.shape)}"
        )
    out = x.new_empty((tokens, down.out_features))
    if not tokens:
        return out
    experts, weights = experts.contiguous(), weights.contiguous()
    order = sort_pairs(experts, len(up.data))
    inner = x.new_empty((experts.numel(), down.in_features))
    found = x.new_empty((experts.numel(), down.out_features))
    scales = weights if scale_input else None
    _launch(x, up, inner, order, sharers=top_k, kind=kind, limit=limit, scales=scales)
    _launch(inner, down, found, order, sharers=1)
    block = min(block_of(down.out_features), MAX_BLOCK)
    _sum_pairs[(tokens, triton.cdiv(down.out_features, block))](
        found,
        weights,
        out,
        down.out_features,
        top_k=top_k,
        weighted=not scale_input,
        block=block,
        num_warps=4,
        **UNFUSED,
    )
    return out


def _launch(
    x: torch.Tensor,
    packed: PackedExperts,
    out: torch.Tensor,
    order: SortedPairs,
    *,
    sharers: int,
    kind: Activation | None = None,
    limit: float = 0.0,
    scales: torch.Tensor | None = None,
) -> None:
    (pairs, width), k, block_m = out.shape, packed.in_features, order.block_m
    small = x.itemsize == 4
    block_n = 32 if small or block_m == 16 else 64 if kind or block_m <= 64 else 128
    block_k = 32 if small else 128 if block_m == 16 else 64
    blocks = len(order.owners)
    _multiply[(blocks * triton.cdiv(width, block_n),)](
        x,
        row_stride("x", x),
        packed.data,
        x if packed.bias is None else packed.bias,
        x if scales is None else scales,
        out,
        order.places,
        order.owners,
        pairs,
        blocks,
        width,
        k,
        limit,
        sharers=sharers,
        kind=kind or "",
        has_bias=packed.bias is not None,
        scaled=scales is not None,
        even=k % block_k == 0,
        block_m=block_m,
        block_n=block_n,
        block_k=block_k,
        num_warps=8 if block_m == 128 else 4,
        num_stages=1 if small else 3,
        **FUSED,
    )
