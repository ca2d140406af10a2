"""Drawing tokens without sorting: one program a row finds where top-k and top-p cut, and draws.

The rules are those of ``sampling.sampler``: the weight of a token is exp((logit - max) /
temperature), rounded to a multiple of 2**-34, so that sums of weights are exact as 64-bit integers,
in whatever order they are added. A cut is found by bisection over the bits of the weights, which
order like the numbers. The few tokens that can be above it are gathered first, if they are few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride, warps_of

if TYPE_CHECKING:
    from sglang.srt.sampling.sampling_batch import DrawGroup

BLOCK = 4096
"""Columns that a program looks at together; so many tokens at most are gathered."""

_ROUNDING = tl.constexpr(2.0**-11)
"""Adding and subtracting this rounds float32 numbers in [0, 1] to multiples of 2**-34."""
_STEPS = tl.constexpr(2.0**34)
_BITS_ABOVE_ONE = tl.constexpr(0x3F800001)
_NOWHERE = tl.constexpr(2**31 - 1)
_FEW, _SOME, _MANY = tl.constexpr(2.0**-5), tl.constexpr(2.0**-10), tl.constexpr(2.0**-17)
_LEAST = tl.constexpr(2.0**-34)
"""The smallest weight but 0."""


@triton.jit
def _weights(
    x: tl.tensor,
    start: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    block: tl.constexpr,
) -> tl.tensor:
    """Weights [block] float32 of the logits from ``start`` on; 0 beyond ``length``."""
    column = start + tl.arange(0, block)
    value = tl.load(x + column, mask=column < length, other=-float("inf"))
    weight = tl.exp(tl.div_rn(value - peak, temperature))
    return (weight + _ROUNDING) - _ROUNDING


@triton.jit
def _mass(weight: tl.tensor) -> tl.tensor:
    """A weight as an integer, in steps of 2**-34."""
    return (weight * _STEPS).to(tl.int64)


@triton.jit
def _from(
    x: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    least: tl.tensor,
    block: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Number and mass of the tokens whose weight is at least ``least`` (> 0)."""
    count, mass = (length * 0).to(tl.int64), (length * 0).to(tl.int64)
    for start in range(0, length, block):
        weight = _weights(x, start, length, peak, temperature, block)
        weight = tl.where(weight >= least, weight, 0.0)
        count += tl.sum((weight > 0).to(tl.int64), axis=0)
        mass += tl.sum(_mass(weight), axis=0)
    return count, mass


@triton.jit
def _cut(
    x: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    limit: tl.tensor,
    by_count: tl.constexpr,
    block: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The weight at which, from the heaviest token down, ``limit`` (float64) tokens or their mass
    are reached; and number and mass of the tokens above it."""
    low, high = length * 0 + 1, length * 0 + _BITS_ABOVE_ONE
    above_count, above_mass = (length * 0).to(tl.int64), (length * 0).to(tl.int64)
    while high - low > 1:
        middle = (low + high) // 2
        count, mass = _from(
            x, length, peak, temperature, middle.to(tl.float32, bitcast=True), block
        )
        reached = (count if by_count else mass).to(tl.float64) >= limit
        low, high = tl.where(reached, middle, low), tl.where(reached, high, middle)
        above_count = tl.where(reached, above_count, count)
        above_mass = tl.where(reached, above_mass, mass)
    return low.to(tl.float32, bitcast=True), above_count, above_mass


@triton.jit
def _candidates(
    x: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    top_k: tl.tensor,
    top_p: tl.tensor,
    by_count: tl.constexpr,
    block: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """A weight that everything above the cuts has at least, how many tokens have, and the mass of
    all tokens. The largest of a few round numbers that will do: one pass is enough."""
    zero = (length * 0).to(tl.int64)
    few, some, many, count = zero, zero, zero, zero
    few_mass, some_mass, many_mass, total = zero, zero, zero, zero
    for start in range(0, length, block):
        weight = _weights(x, start, length, peak, temperature, block)
        mass = _mass(weight)
        few += tl.sum((weight >= _FEW).to(tl.int64), axis=0)
        some += tl.sum((weight >= _SOME).to(tl.int64), axis=0)
        many += tl.sum((weight >= _MANY).to(tl.int64), axis=0)
        count += tl.sum((weight > 0).to(tl.int64), axis=0)
        few_mass += tl.sum(tl.where(weight >= _FEW, mass, 0), axis=0)
        some_mass += tl.sum(tl.where(weight >= _SOME, mass, 0), axis=0)
        many_mass += tl.sum(tl.where(weight >= _MANY, mass, 0), axis=0)
        total += tl.sum(mass, axis=0)
    if by_count:
        needed = tl.load(top_k)
        few_do, some_do, many_do = few >= needed, some >= needed, many >= needed
    else:
        limit = tl.load(top_p) * total.to(tl.float64)
        few_do = few_mass.to(tl.float64) >= limit
        some_do = some_mass.to(tl.float64) >= limit
        many_do = many_mass.to(tl.float64) >= limit
    least = tl.where(few_do, _FEW, tl.where(some_do, _SOME, tl.where(many_do, _MANY, _LEAST)))
    count = tl.where(few_do, few, tl.where(some_do, some, tl.where(many_do, many, count)))
    return least, count, total


@triton.jit
def _gather(
    x: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    least: tl.tensor,
    values: tl.tensor,
    ids: tl.tensor,
    block: tl.constexpr,
) -> None:
    """Copy the logits whose weight is at least ``least``, and their ids, in order."""
    count = length * 0
    for start in range(0, length, block):
        weight = _weights(x, start, length, peak, temperature, block)
        chosen = weight >= least
        place = count + tl.cumsum(chosen.to(tl.int32), axis=0) - 1
        column = start + tl.arange(0, block)
        value = tl.load(x + column, mask=chosen, other=0.0)
        tl.store(values + place, value, mask=chosen)
        tl.store(ids + place, column, mask=chosen)
        count += tl.sum(chosen.to(tl.int32), axis=0)


@triton.jit
def _locate(
    x: tl.tensor,
    length: tl.tensor,
    peak: tl.tensor,
    temperature: tl.tensor,
    cut: tl.tensor,
    ties: tl.tensor,
    min_p: tl.tensor,
    target: tl.tensor,
    block: tl.constexpr,
) -> tl.tensor:
    """The first column at which the mass of the kept tokens passes ``target``.

    Kept are those above ``cut`` and the first ``ties`` that equal it, if they reach ``min_p``.
    """
    running, equal = (length * 0).to(tl.int64), length * 0
    found = length * 0 + _NOWHERE
    for start in range(0, length, block):
        weight = _weights(x, start, length, peak, temperature, block)
        at_cut = (weight == cut).to(tl.int32)
        rank = equal + tl.cumsum(at_cut, axis=0)
        kept = (weight > cut) | ((at_cut > 0) & (rank <= ties))
        mass = _mass(tl.where(kept & (weight >= min_p), weight, 0.0))
        upto = running + tl.cumsum(mass, axis=0)
        column = start + tl.arange(0, block)
        passed = (upto.to(tl.float64) > target) & (mass > 0)
        found = tl.minimum(found, tl.min(tl.where(passed, column, _NOWHERE), axis=0))
        running += tl.sum(mass, axis=0)
        equal += tl.sum(at_cut, axis=0)
    return found


@triton.jit
def _draw(
    logits: tl.tensor,
    stride: int,
    columns: int,
    rows: tl.tensor,
    best: tl.tensor,
    uniforms: tl.tensor,
    temperatures: tl.tensor,
    top_ks: tl.tensor,
    top_ps: tl.tensor,
    min_ps: tl.tensor,
    values: tl.tensor,
    ids: tl.tensor,
    tokens: tl.tensor,
    some_rows: tl.constexpr,
    has_top_k: tl.constexpr,
    has_top_p: tl.constexpr,
    has_min_p: tl.constexpr,
    block: tl.constexpr,
) -> None:
    member = tl.program_id(0)
    row = tl.load(rows + member) if some_rows else member.to(tl.int64)
    x = logits + row * stride
    length = member * 0 + columns
    peak, temperature = tl.load(best + row), tl.load(temperatures + member)
    min_p = tl.load(min_ps + member) if has_min_p else peak * 0.0
    cut, ties = min_p * 0.0, length * 0
    gathered = False
    if has_top_k or has_top_p:
        least, count, mass = _candidates(
            x, length, peak, temperature, top_ks + member, top_ps + member, has_top_k, block
        )
        gathered = count <= block
        if gathered:
            values += member.to(tl.int64) * block
            ids += member.to(tl.int64) * block
            _gather(x, length, peak, temperature, least, values, ids, block)
            tl.debug_barrier()
            x, length = values, count.to(tl.int32)
        if has_top_k:
            # All that are there, where these are fewer.
            top_k = tl.minimum(tl.load(top_ks + member), count)
            cut, above, mass = _cut(x, length, peak, temperature, top_k.to(tl.float64), True, block)
            ties = (top_k - above).to(tl.int32)
            mass += ties * _mass(cut)
        if has_top_p:
            limit = tl.load(top_ps + member) * mass.to(tl.float64)
            cut, above, mass = _cut(x, length, peak, temperature, limit, False, block)
            missing = (limit - mass.to(tl.float64)) / _mass(cut).to(tl.float64)
            ties = tl.ceil(missing).to(tl.int32)
    above_cut = (cut.to(tl.int32, bitcast=True) + 1).to(tl.float32, bitcast=True)
    _, total = _from(x, length, peak, temperature, tl.maximum(above_cut, min_p), block)
    total += tl.where(cut >= min_p, ties, 0) * _mass(cut)
    target = tl.load(uniforms + member) * total.to(tl.float64)
    found = _locate(x, length, peak, temperature, cut, ties, min_p, target, block)
    found = tl.minimum(found, length - 1)
    if gathered:
        found = tl.load(ids + found)
    tl.store(tokens + member, found.to(tl.int64))


def draw_tokens(logits: torch.Tensor, best: torch.Tensor, group: DrawGroup) -> torch.Tensor:
    """See ``interface.Kernels``."""
    members = len(group.uniforms)
    tokens = torch.empty(members, dtype=torch.int64, device=logits.device)
    if not members:
        return tokens
    columns = logits.shape[1]
    block = min(block_of(columns), BLOCK)
    values = torch.empty((members, block), dtype=torch.float32, device=logits.device)
    ids = torch.empty((members, block), dtype=torch.int32, device=logits.device)
    _draw[(members,)](
        logits,
        row_stride("logits", logits),
        columns,
        tokens if group.rows is None else group.rows,
        best,
        group.uniforms,
        group.temperature,
        tokens if group.top_k is None else group.top_k,
        group.uniforms if group.top_p is None else group.top_p,
        group.temperature if group.min_p is None else group.min_p,
        values,
        ids,
        tokens,
        some_rows=group.rows is not None,
        has_top_k=group.top_k is not None,
        has_top_p=group.top_p is not None,
        has_min_p=group.min_p is not None,
        block=block,
        num_warps=warps_of(block),
        **UNFUSED,
    )
    return tokens
