"""Penalties, biases and minimum lengths as sparse edits of a batch's logits.

Only the touched entries are read and written, whatever the vocabulary's size: flat indices
``row * vocab_size + token`` with the operands of each. In this order:

1. penalties: a positive logit is divided by ``repetition_penalty``, another multiplied by it
   (N. S. Keskar et al., "CTRL", 2019, section 4.1), for every token of prompt and output; then
   ``frequency_penalty * count + presence_penalty`` is subtracted for every token of the output;
2. ``logit_bias`` is added;
3. tokens that would end the sequence before ``min_new_tokens`` become -inf.

Grammar masks come after these (:mod:`~sglang.srt.sampling.token_mask`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.sampling.sampling_row import SamplingRow

MIN_REPETITION_DIVISOR = 1e-4
"""``repetition_penalty`` 0 is documented as valid; what it means is the limit from above."""


@dataclass(slots=True)
class LogitEdits:
    """Edits of logits [B, V]; each group is None if nobody in the batch wants it."""

    penalties: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None
    """Flat indices [N] int64, repetition factors [N] float32, subtrahends [N] float32."""
    biases: tuple[torch.Tensor, torch.Tensor] | None
    """Flat indices [N] int64, summands [N] float32."""
    banned: torch.Tensor | None
    """Flat indices [N] int64."""


def make_logit_edits(
    rows: Sequence[SamplingRow], vocab_size: int, device: torch.device
) -> LogitEdits | None:
    """The edits that the rows of a batch need for their next token, or None."""
    edits = LogitEdits(
        penalties=_penalties(rows, vocab_size, device),
        biases=_biases(rows, vocab_size, device),
        banned=_banned(rows, vocab_size, device),
    )
    if edits.penalties is None and edits.biases is None and edits.banned is None:
        return None
    return edits


@contextmanager
def edited(logits: torch.Tensor, edits: LogitEdits | None) -> Iterator[torch.Tensor]:
    """The edited logits, contiguous, for the duration of the block.

    The edits are made in place and taken back at the end, which costs a few hundred entries
    instead of a copy of [B, V].
    """
    logits = logits.contiguous()
    if edits is None:
        yield logits
        return
    flat = logits.view(-1)
    saved = [(index, flat[index]) for index in _indices(edits)]
    try:
        _apply(flat, edits)
        yield logits
    finally:
        for index, values in saved:
            flat[index] = values


def _indices(edits: LogitEdits) -> Iterator[torch.Tensor]:
    if edits.penalties is not None:
        yield edits.penalties[0]
    if edits.biases is not None:
        yield edits.biases[0]
    if edits.banned is not None:
        yield edits.banned


def _apply(flat: torch.Tensor, edits: LogitEdits) -> None:
    # Within a group every index occurs once, so that gather, change, scatter is exact.
    if edits.penalties is not None:
        index, factor, subtrahend = edits.penalties
        values = flat[index]
        values = torch.where(values > 0, values / factor, values * factor)
        flat[index] = values - subtrahend
    if edits.biases is not None:
        index, summand = edits.biases
        flat[index] = flat[index] + summand
    if edits.banned is not None:
        flat[edits.banned] = -torch.inf


def _penalties(
    rows: Sequence[SamplingRow], vocab_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    penalised = [i for i, row in enumerate(rows) if row.penalised]
    if not penalised:
        return None
    seen = [rows[i].counts() for i in penalised]
    sizes = [len(s.tokens()) for s in seen]
    params = [rows[i].params for i in penalised]
    index, inside = _flat(penalised, [s.tokens() for s in seen], vocab_size)
    counts = np.concatenate([s.counts() for s in seen])
    factors = [max(p.repetition_penalty, MIN_REPETITION_DIVISOR) for p in params]
    subtrahends = np.repeat([p.frequency_penalty for p in params], sizes) * counts
    subtrahends += np.repeat([p.presence_penalty for p in params], sizes) * (counts > 0)
    return (
        _tensor(index[inside], device),
        _tensor(np.repeat(np.array(factors, dtype=np.float32), sizes)[inside], device),
        _tensor(subtrahends[inside].astype(np.float32), device),
    )


def _biases(
    rows: Sequence[SamplingRow], vocab_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    biased = [i for i, row in enumerate(rows) if len(row.bias_ids)]
    if not biased:
        return None
    index, inside = _flat(biased, [rows[i].bias_ids for i in biased], vocab_size)
    summands = np.concatenate([rows[i].bias_values for i in biased])
    return _tensor(index[inside], device), _tensor(summands[inside], device)


def _banned(
    rows: Sequence[SamplingRow], vocab_size: int, device: torch.device
) -> torch.Tensor | None:
    # Where there is a grammar, its mask sees to it (and knows when nothing else may come).
    short = [
        i
        for i, row in enumerate(rows)
        if row.grammar is None and len(row.output_ids) < row.params.min_new_tokens
    ]
    if not short:
        return None
    index, inside = _flat(short, [rows[i].banned_ids for i in short], vocab_size)
    return _tensor(index[inside], device)


def _flat(
    rows: list[int], tokens: list[NDArray[np.int64]], vocab_size: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | slice]:
    """Flat indices of each row's tokens, and which of them have a logit.

    Placeholders in a prompt do not, nor does an EOS beyond the model's last row.
    """
    joined = np.concatenate(tokens)
    offsets = np.repeat(np.array(rows, dtype=np.int64) * vocab_size, [len(t) for t in tokens])
    inside = (joined >= 0) & (joined < vocab_size)
    return joined + offsets, slice(None) if inside.all() else inside


def _tensor(array: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array).to(device)
