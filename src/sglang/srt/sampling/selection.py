"""Finding the best tokens of each row, in one order for everybody: by value, then by id.

``torch.topk`` leaves open which of several equal values it returns, and logits from bfloat16
weights tie often. What is built here decides ties by the lower token id, so that a row's
result never depends on its neighbours or on how many candidates were looked at.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

BLOCK = 64
"""Columns that are reduced together before anything looks at single tokens."""
MAX_DIRECT = 1 << 12
"""Elements up to which a running sum over all of them is faster than one over blocks."""


BestTokens = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Maximum [R] of each row of [R, V] and its lowest index [R] int64, -1 if it is not finite."""


def best_tokens(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """:data:`BestTokens` in torch; ``Kernels.best_tokens`` is faster."""
    best = logits.max(dim=-1)
    return best.values, best.indices.masked_fill_(~best.values.isfinite(), -1)


def best_ids(x: torch.Tensor, count: int) -> torch.Tensor:
    """Ids [R, C] of the ``count`` (at most V) best values of each row of ``x``, ascending.

    Which of the tokens are in that equal the worst of them is open; of those above none is
    missing.
    """
    if count >= x.shape[1]:
        return torch.arange(x.shape[1], device=x.device).expand(x.shape)
    return x.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values


def best_first(x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` (at most V) best values [R, k] of each row and their ids, in the one order."""
    values, ids = _ranked(x, 2 * k + 8)
    worst = values[:, -1:]
    values, ids = values[:, :k], ids[:, :k]
    if 2 * k + 8 < x.shape[1]:
        # Ties of the k-th that reach the last candidate may go on outside.
        unsettled = (values[:, -1:] == worst).squeeze(1)
        if unsettled.any():
            all_values, all_ids = _ranked(x[unsettled], x.shape[1])
            values[unsettled], ids[unsettled] = all_values[:, :k], all_ids[:, :k]
    return values, ids


def _ranked(x: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = best_ids(x, count)
    values, order = x.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    return values, ids.gather(1, order)


def block_sums(x: torch.Tensor) -> torch.Tensor:
    """Sums [R, N] float64 of blocks of columns of ``x`` [R, C].

    A block is :data:`BLOCK` columns, the last one what is left; one column if ``x`` is small.
    """
    rows, columns = x.shape
    if x.numel() <= MAX_DIRECT:
        return x.to(torch.float64)
    blocks = columns // BLOCK
    body = x[:, : blocks * BLOCK].view(rows, blocks, BLOCK)
    sums = body.sum(dim=-1, dtype=torch.float64)
    if blocks * BLOCK == columns:
        return sums
    tail = x[:, blocks * BLOCK :].sum(dim=-1, keepdim=True, dtype=torch.float64)
    return torch.cat([sums, tail], dim=1)


def locate(
    x: torch.Tensor, target: torch.Tensor, sums: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first column at which the running sum of a row passes its target.

    First the block is found, then the column in it.

    Args:
        x: [R, C], not negative, with sums that are exact in float64.
        target: [R, 1] float64.
        sums: :func:`block_sums` of ``x``.

    Returns:
        The column [R, 1] int64 and the sum [R, 1] float64 of those before it. For a row whose
        sum does not pass its target, or that holds NaN, some column in range and any sum.
    """
    columns, blocks = x.shape[1], sums.shape[1]
    upto = sums.cumsum(dim=-1)
    block = torch.searchsorted(upto, target, right=True).clamp_(max=blocks - 1)
    before = (upto - sums).gather(1, block)
    if blocks == columns:
        return block, before
    column = block * BLOCK + torch.arange(BLOCK, device=x.device)
    inside = x.gather(1, column.clamp(max=columns - 1)).to(torch.float64)
    running = before + inside.cumsum(dim=-1)
    offset = torch.searchsorted(running, target, right=True).clamp_(max=BLOCK - 1)
    before = (running - inside).gather(1, offset)
    return (block * BLOCK + offset).clamp_(max=columns - 1), before
