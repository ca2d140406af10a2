"""Which experts a token goes to: ``kernels.routing`` in one kernel, a program a token."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.routing import Routing
from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride, warps_of

_NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit
def _largest(x: tl.tensor) -> tl.tensor:
    """Of a tile; -inf if there are only NaNs."""
    return tl.max(tl.max(tl.where(x == x, x, -float("inf")), axis=1), axis=0)


@triton.jit
def _total(x: tl.tensor) -> tl.tensor:
    return tl.sum(tl.sum(x, axis=1), axis=0)


@triton.jit
def _first(wanted: tl.tensor, number: tl.tensor) -> tl.tensor:
    """The least number that is wanted."""
    return tl.min(tl.min(tl.where(wanted, number, _NOWHERE), axis=1), axis=0)


@triton.jit
def _in_best_groups(
    choice: tl.tensor,
    inside: tl.tensor,
    top_groups: tl.constexpr,
    best_two: tl.constexpr,
    block_g: tl.constexpr,
    block_s: tl.constexpr,
) -> tl.tensor:
    """Which rows of ``choice`` are among the best ``top_groups``, of equals the first: [G, 1]."""
    value = tl.where(inside, choice, -float("inf"))
    best = tl.max(value, axis=1)
    if best_two:
        place = tl.arange(0, block_s)[None, :]
        first = tl.min(tl.where(value == best[:, None], place, _NOWHERE), axis=1)
        best += tl.max(tl.where(place == first[:, None], -float("inf"), value), axis=1)
    group = tl.arange(0, block_g)
    left = tl.max(inside.to(tl.int32), axis=1) > 0
    chosen = group < 0
    for _ in tl.static_range(top_groups):
        most = tl.max(tl.where(left, best, -float("inf")), axis=0)
        at = tl.min(tl.where(left & (best == most), group, _NOWHERE), axis=0)
        at = tl.where(at == _NOWHERE, tl.min(tl.where(left, group, _NOWHERE), axis=0), at)
        chosen |= group == at
        left &= group != at
    return chosen[:, None]


@triton.jit
def _route(
    logits: tl.tensor,
    stride: int,
    correction: tl.tensor,
    experts: tl.tensor,
    weights: tl.tensor,
    softcap: float,
    jitter: float,
    scale: float,
    count: tl.constexpr,
    top_k: tl.constexpr,
    score: tl.constexpr,
    corrected: tl.constexpr,
    renormalize: tl.constexpr,
    capped: tl.constexpr,
    groups: tl.constexpr,
    top_groups: tl.constexpr,
    best_two: tl.constexpr,
    block_g: tl.constexpr,
    block_s: tl.constexpr,
    block_k: tl.constexpr,
) -> None:
    """A token's scores as a tile: a row a group."""
    row = tl.program_id(0).to(tl.int64)
    size: tl.constexpr = count // groups
    group, place = tl.arange(0, block_g)[:, None], tl.arange(0, block_s)[None, :]
    number, inside = group * size + place, (group < groups) & (place < size)
    x = tl.load(logits + row * stride + number, mask=inside, other=-float("inf"))
    if capped:  # tanh(z) = 2 sigmoid(2 z) - 1
        x = softcap * (2.0 * tl.sigmoid(2.0 * x / softcap) - 1.0)
    if score == "softmax":
        x = tl.exp(x - _largest(tl.where(inside, x, -float("inf"))))
        x = tl.where(inside, x, 0.0)
        x = x / _total(x)
    elif score == "sigmoid":
        x = tl.sigmoid(x)
    choice = x
    if corrected:
        choice += tl.load(correction + number, mask=inside, other=0.0)
    left = inside
    if groups > 1:
        left &= _in_best_groups(choice, inside, top_groups, best_two, block_g, block_s)
    turn = tl.arange(0, block_k)
    chosen, weight = tl.zeros([block_k], dtype=tl.int32), tl.zeros([block_k], dtype=tl.float32)
    for j in tl.static_range(top_k):
        most = _largest(tl.where(left, choice, -float("inf")))
        at = _first(left & (choice == most), number)
        # Only NaNs are left: any will do, its weight tells.
        at = tl.where(at == _NOWHERE, _first(left, number), at)
        if score == "sparsemixer":
            far = (most - x) / tl.maximum(tl.abs(x), most) > 2.0 * jitter
            own = 1.0 / _total(tl.where(left & (far == 0), tl.exp(x - most), 0.0))
        else:
            own = _total(tl.where(number == at, x, 0.0))
        chosen = tl.where(turn == j, at, chosen)
        weight = tl.where(turn == j, own, weight)
        left &= number != at
    if renormalize:
        weight = weight / (tl.sum(weight, axis=0) + 1e-20)
    tl.store(experts + row * top_k + turn, chosen, mask=turn < top_k)
    tl.store(weights + row * top_k + turn, weight * scale, mask=turn < top_k)


def route(
    logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
) -> tuple[torch.Tensor, torch.Tensor]:
    """See ``interface.Kernels``."""
    tokens, count = logits.shape
    routing.check(count)
    experts = logits.new_empty((tokens, routing.top_k), dtype=torch.int32)
    weights = logits.new_empty((tokens, routing.top_k), dtype=torch.float32)
    if not tokens:
        return experts, weights
    mixed, groups = routing.score == "sparsemixer", routing.num_groups
    if mixed:  # knows neither
        correction, groups = None, 1
    block_g, block_s = block_of(groups), block_of(count // groups)
    _route[(tokens,)](
        logits,
        row_stride("logits", logits),
        logits if correction is None else correction,
        experts,
        weights,
        routing.softcap,
        routing.jitter,
        routing.scale,
        count=count,
        top_k=routing.top_k,
        score=routing.score,
        corrected=correction is not None,
        renormalize=routing.renormalize,
        capped=routing.softcap != 0,
        groups=groups,
        top_groups=routing.top_groups,
        best_two=routing.group_score == "best_two",
        block_g=block_g,
        block_s=block_s,
        block_k=block_of(routing.top_k),
        num_warps=warps_of(block_g * block_s),
        **UNFUSED,
    )
    return experts, weights
