"""Chooses the next token of every row of a batch.

What is drawn from: edited logits (:mod:`~sglang.srt.sampling.logit_edits`), changed by a custom
processor if there is one (:mod:`~sglang.srt.sampling.processed_logits`), of the tokens that the
grammar allows if there is one (:mod:`~sglang.srt.sampling.token_mask`), divided by the
temperature; of these the ``top_k`` most probable tokens; of these, renormalised, the most
probable that first reach ``top_p`` together; of these the ones at least ``min_p`` times as
probable as the best. Of equally probable tokens the lower id comes first. One uniform number a
row picks from what is left, by inverting its cumulative distribution in the order of ids.

Why a row's token depends neither on the other rows nor on the route by which it was found:
token weights ``exp((logit - max) / temperature)`` are rounded to multiples of 2**-34. Sums of
such numbers are exact in float64 (up to 2**19 tokens), hence the same in whatever order, over
whatever candidates and on whatever device they are added up. All else works on one element at
a time.
"""

from __future__ import annotations

import torch

from sglang.srt.sampling.logit_edits import edited
from sglang.srt.sampling.processed_logits import apply_processors
from sglang.srt.sampling.sampling_batch import (
    CANDIDATES,
    DrawGroup,
    DrawTokens,
    Route,
    SamplingBatch,
    make_sampling_batch,
)
from sglang.srt.sampling.sampling_row import SamplingRow
from sglang.srt.sampling.selection import BestTokens, best_ids, best_tokens, block_sums, locate
from sglang.srt.sampling.token_mask import MaskTokens, best_allowed, mask_tokens

__all__ = ["INVALID_TOKEN", "SamplingBatch", "SamplingRow", "make_sampling_batch", "sample"]

INVALID_TOKEN = -1
"""Stands for the token of a row whose logits allow no choice."""

CHUNK_ELEMENTS = 1 << 18
"""Logits that are worked on at a time, to bound memory and stay in the cache."""

_ROUNDING = 2.0**-11
"""Adding and subtracting this rounds float32 numbers in [0, 1] to multiples of 2**-34."""
_HALF_BITS = 15
"""Float32 numbers in [0, 1] differ in their lower 30 bits only."""
_BINS = 1 << _HALF_BITS
_LAST_BIN = _BINS - 1


@torch.inference_mode()
def sample(
    logits: torch.Tensor,
    batch: SamplingBatch,
    best_tokens: BestTokens = best_tokens,
    mask_tokens: MaskTokens = mask_tokens,
    draw_tokens: DrawTokens | None = None,
) -> torch.Tensor:
    """The next token of each row.

    Args:
        logits: [B, V] float32. Changed during the call if the batch has edits, and as before
            when it returns; but in rows with a grammar, forbidden tokens may become -inf, and
            rows with a custom processor are what that made of them.
        batch: Made of the same B rows.
        best_tokens: How to find the best token of each row, which is all that greedy rows need.
        mask_tokens: How to forbid tokens.
        draw_tokens: How to draw, by the same rules, if not as it is done here.

    Returns:
        [B] int64; :data:`INVALID_TOKEN` for a row whose logits hold NaN or +inf or are all
        -inf. Such a row does not disturb the others.
    """
    if logits.shape != (batch.size, batch.vocab_size):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} do not fit a batch of "
            f"[{batch.size}, {batch.vocab_size}]"
        )
    if batch.greedy:
        return best_tokens(logits)[1]
    with edited(logits, batch.edits) as scores:
        apply_processors(scores, batch.processed)
        if batch.constrained:
            best, tokens = best_allowed(scores, batch.constrained, best_tokens, mask_tokens)
        else:
            best, tokens = best_tokens(scores)
        draw = draw_tokens or _draw
        for group in batch.groups:
            if group.rows is None:
                tokens = draw(scores, best, group)
            else:
                tokens[group.rows] = draw(scores, best, group)
    return tokens.masked_fill_(~best.isfinite(), INVALID_TOKEN)


def _draw(logits: torch.Tensor, best: torch.Tensor, group: DrawGroup) -> torch.Tensor:
    """Tokens [R] of one group, from all logits [B, V] and their row maxima [B]."""
    tokens = torch.empty_like(group.uniforms, dtype=torch.int64)
    unsettled = []
    columns = logits.shape[1]
    if group.route is Route.THRESHOLD:
        columns = max(columns, _BINS)
    step = max(1, CHUNK_ELEMENTS // columns)
    for start in range(0, len(tokens), step):
        part = slice(start, start + step)
        rows = part if group.rows is None else group.rows[part]
        x, peak, members = logits[rows], best[rows], _members(group, part)
        if group.route is Route.UNFILTERED:
            tokens[part] = _draw_unfiltered(x, peak, members)
        elif group.route is Route.THRESHOLD:
            tokens[part] = _draw_by_threshold(x, peak, members)
        else:
            tokens[part], settled = _draw_from_candidates(x, peak, members)
            if not settled.all():
                unsettled.append((~settled).nonzero().squeeze(1) + start)
    if unsettled:
        left = torch.cat(unsettled)
        rest = _members(group, left)
        rest.rows = left if group.rows is None else group.rows[left]
        rest.route = Route.THRESHOLD
        tokens[left] = _draw(logits, best, rest)
    return tokens


def _members(group: DrawGroup, which: slice | torch.Tensor) -> DrawGroup:
    """The parameters of some members of a group."""
    return DrawGroup(
        rows=None,
        uniforms=group.uniforms[which],
        temperature=group.temperature[which],
        min_p=None if group.min_p is None else group.min_p[which],
        top_k=None if group.top_k is None else group.top_k[which],
        top_p=None if group.top_p is None else group.top_p[which],
        route=group.route,
    )


def _draw_unfiltered(x: torch.Tensor, peak: torch.Tensor, group: DrawGroup) -> torch.Tensor:
    """Tokens [R] of rows x [R, V] without top-k and top-p."""
    weights = token_weights(x, peak, group.temperature)
    if group.min_p is not None:
        weights.masked_fill_(weights < group.min_p[:, None], 0.0)
    return draw_column(weights, group.uniforms)


def _draw_from_candidates(
    x: torch.Tensor, peak: torch.Tensor, group: DrawGroup
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [R] of rows x [R, V], by their best few tokens; and for which rows [R] these do."""
    ids = best_ids(x, CANDIDATES)
    weights = token_weights(x.gather(1, ids), peak, group.temperature)
    ranked, order = weights.sort(dim=-1, descending=True, stable=True)
    mass = ranked.to(torch.float64).cumsum(dim=-1)
    keep = ranked > 0
    if group.top_k is not None:
        top_k = group.top_k[:, None]
        keep &= torch.arange(ranked.shape[1], device=x.device) < top_k
        total = mass.gather(1, top_k - 1)
    elif ranked.shape[1] < x.shape[1]:
        total = block_sums(token_weights(x, peak, group.temperature)).sum(dim=-1, keepdim=True)
    else:
        total = mass[:, -1:]
    if group.top_p is not None:
        keep &= mass - ranked < group.top_p[:, None] * total
    if group.min_p is not None:
        keep &= ranked >= group.min_p[:, None]
    # What is kept is complete if it ends above the worst candidate.
    last = ranked.gather(1, (keep.sum(dim=-1, keepdim=True) - 1).clamp_(min=0))
    settled = (last != ranked[:, -1:]).squeeze(1) | (ranked.shape[1] == x.shape[1])
    weights = torch.empty_like(weights).scatter_(1, order, ranked.where(keep, 0.0))
    choice = draw_column(weights, group.uniforms)
    return ids.gather(1, choice[:, None]).squeeze(1), settled


def _draw_by_threshold(x: torch.Tensor, peak: torch.Tensor, group: DrawGroup) -> torch.Tensor:
    """Tokens [R] of rows x [R, V], however many of them top-k and top-p keep.

    Each filter keeps the tokens above some weight and the first few that have just that.
    """
    weights = token_weights(x, peak, group.temperature)
    masses = weights.to(torch.float64)
    if group.top_k is not None:
        top_k = group.top_k[:, None].to(torch.float64)
        cut, above = _cut(weights, torch.ones_like(masses), top_k)
        ties = top_k - above
        total = masses.masked_fill(weights <= cut, 0.0).sum(dim=-1, keepdim=True) + ties * cut
    else:
        total = masses.sum(dim=-1, keepdim=True)
    if group.top_p is not None:
        limit = group.top_p[:, None] * total
        cut, above = _cut(weights, masses, limit)
        # The difference and the products ties * cut are exact, so the quotient cannot round
        # down to a whole number that it exceeds.
        ties = ((limit - above) / cut).ceil()
    at_cut = (weights == cut).to(torch.float32)
    last, _ = locate(at_cut, ties - 0.5, block_sums(at_cut))
    late = torch.arange(x.shape[1], device=x.device) > last
    weights.masked_fill_((weights < cut) | (late & (at_cut > 0)), 0.0)
    if group.min_p is not None:
        weights.masked_fill_(weights < group.min_p[:, None], 0.0)
    return draw_column(weights, group.uniforms)


def _cut(
    weights: torch.Tensor, amounts: torch.Tensor, limit: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where, from the heaviest token down, the ``amounts`` first add up to ``limit``.

    The bits of floats that are not negative order like integers: histograms over their upper
    and then their lower half find the weight without sorting.

    Args:
        weights: [R, V] float32 in [0, 1].
        amounts: [R, V] float64, sums of which are exact.
        limit: [R, 1] float64, above 0 and at most the sum of a row's amounts.

    Returns:
        The weight [R, 1] float32 of the token at which that happens, and the amount [R, 1]
        float64 of those heavier, which is less than ``limit``.
    """
    bits = weights.view(torch.int32)
    cut = torch.zeros_like(limit, dtype=torch.int32)
    above = torch.zeros_like(limit)
    # Sums equal to the limit count as having passed it.
    target = limit.nextafter(above)
    for shift in (_HALF_BITS, 0):
        bins = (_LAST_BIN - ((bits >> shift) & _LAST_BIN)).to(torch.int64)
        histogram = above.new_zeros(len(weights), _BINS)
        histogram.scatter_add_(1, bins, amounts)
        histogram[:, :1] += above
        found, above = locate(histogram, target, block_sums(histogram))
        amounts = amounts.masked_fill(bins != found, 0.0)
        cut |= (_LAST_BIN - found).to(torch.int32) << shift
    return cut.view(torch.float32), above


def token_weights(x: torch.Tensor, peak: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """Unnormalised probabilities [R, C] of logits x [R, C]: 1 at the peak [R], steps of 2**-34."""
    weights = (x - peak[:, None]).div_(temperature[:, None]).exp_()
    weights.add_(_ROUNDING).sub_(_ROUNDING)
    return weights


def draw_column(weights: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """The column [R] of weights [R, C] that holds the quantile ``uniforms`` [R]."""
    sums = block_sums(weights)
    # Below the total, even rounded: the uniforms end at 1 - 2**-53.
    target = uniforms[:, None] * sums.sum(dim=-1, keepdim=True)
    return locate(weights, target, sums)[0].squeeze(1)
