"""What grammars allow as the next token, for the rows of a batch that have one.

To find all allowed tokens is work; to look whether one token is allowed is none. Where the best
token is wanted, the likeliest ones are tried first, and all are looked at only if these fail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.sampling.sampling_row import SamplingRow
from sglang.srt.sampling.selection import BestTokens

MaskTokens = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""``Kernels.mask_tokens``: logits [B, V], rows [R], bits [R, ceil(V / 32)]."""

TRIES = 3
"""Tokens after the best one that are tried before all of them are looked at."""

mask_tokens: MaskTokens = ReferenceKernels().mask_tokens


def best_allowed(
    scores: torch.Tensor,
    constrained: Mapping[int, SamplingRow],
    best_tokens: BestTokens,
    mask_tokens: MaskTokens,
) -> tuple[torch.Tensor, torch.Tensor]:
    """:data:`BestTokens` of scores [B, V] among the tokens that the ``constrained`` rows allow.

    On return the forbidden tokens of rows that draw, and of some others, have the score -inf.
    """
    drawing = [i for i, row in constrained.items() if not row.greedy]
    _mask(scores, drawing, constrained, mask_tokens)
    best, tokens = best_tokens(scores)
    chosen = tokens.tolist()
    refused = []
    for i, row in constrained.items():
        if row.greedy and not row.may_choose(chosen[i]):
            found = _next_best(scores[i : i + 1], chosen[i], row, best_tokens)
            if found is None:
                refused.append(i)
            else:
                best[i], tokens[i] = found
    if refused:
        _mask(scores, refused, constrained, mask_tokens)
        # Once more over all rows: quicker than to gather some of them.
        best, tokens = best_tokens(scores)
    return best, tokens


def _next_best(
    scores: torch.Tensor, token: int, row: SamplingRow, best_tokens: BestTokens
) -> tuple[torch.Tensor, int] | None:
    """The best token after ``token`` in scores [1, V] that is allowed; None if the first few are
    not. Those that are not become -inf."""
    if row.held_back():  # which may have to come after all
        return None
    for _ in range(TRIES):
        scores[0, token] = -torch.inf
        best, found = best_tokens(scores)
        token = int(found)
        if token < 0:
            return None
        if row.may_choose(token):
            return best[0], token
    return None


def allowed_bits(rows: Sequence[SamplingRow], vocab_size: int) -> NDArray[np.int32]:
    """The tokens that each row allows: bit ``i % 32`` of word ``i // 32`` is for token i.

    Returns [R, ceil(V / 32)]; a row without any bit is one whose grammar cannot go on.
    """
    bits = np.empty((len(rows), (vocab_size + 31) // 32), dtype=np.int32)
    for words, row in zip(bits, rows, strict=True):
        assert row.grammar is not None
        row.grammar.fill_mask(words)
        if held_back := row.held_back():
            _take_away(words, held_back, vocab_size)
    return bits


def _mask(
    scores: torch.Tensor,
    members: list[int],
    constrained: Mapping[int, SamplingRow],
    mask_tokens: MaskTokens,
) -> None:
    if members:
        bits = allowed_bits([constrained[i] for i in members], scores.shape[1])
        index = torch.tensor(members, dtype=torch.int64)
        mask_tokens(scores, index.to(scores.device), torch.from_numpy(bits).to(scores.device))


def _take_away(words: NDArray[np.int32], tokens: Collection[int], vocab_size: int) -> None:
    """Forbid ``tokens`` as well, unless nothing would be left: then the grammar decides."""
    before = words.copy()
    unsigned = words.view(np.uint32)
    for token in tokens:
        if token < vocab_size:
            unsigned[token >> 5] &= np.uint32(0xFFFFFFFF ^ (1 << (token & 31)))
    if not words.any():
        words[:] = before
