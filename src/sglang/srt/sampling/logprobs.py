"""Log-probabilities of tokens under the model's own distribution.

That is the softmax of the raw logits: before penalties, biases and temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from sglang.srt.sampling.selection import best_first

CHUNK_ELEMENTS = 1 << 21
"""Logits that are worked on at a time, to bound memory."""
MIN_LOGPROB = -9999.0
"""Stands for -inf and NaN, which JSON cannot carry."""


@dataclass(slots=True)
class RowLogprobs:
    """Logprobs of R tokens, one entry per row of logits; plain lists for the wire."""

    logprobs: list[float] = field(default_factory=list)
    """Natural logarithm of each token's probability, at least :data:`MIN_LOGPROB`."""
    top_logprobs: list[list[float]] = field(default_factory=list)
    """Of the best tokens, best first, as many as the row asked for."""
    top_ids: list[list[int]] = field(default_factory=list)
    """Their ids; of equally probable tokens the lower id comes first."""


@torch.inference_mode()
def gather_logprobs(
    logits: torch.Tensor, target_ids: torch.Tensor | Sequence[int], top_k: Sequence[int]
) -> RowLogprobs:
    """Logprobs of one token a row, and of the most probable ones.

    Args:
        logits: [R, V] float32, raw.
        target_ids: [R]; an id outside the vocabulary gets :data:`MIN_LOGPROB`.
        top_k: [R] how many best tokens to report, each >= 0; more than V mean V.
    """
    rows, vocab_size = logits.shape
    targets = torch.as_tensor(target_ids, dtype=torch.int64, device=logits.device)
    if targets.shape != (rows,) or len(top_k) != rows:
        raise ValueError(
            f"{rows} rows of logits need as many targets and top_k, "
            f"got {tuple(targets.shape)} and {len(top_k)}"
        )
    result = RowLogprobs()
    step = max(1, CHUNK_ELEMENTS // vocab_size)
    for start in range(0, rows, step):
        end = min(start + step, rows)
        _gather_chunk(logits[start:end], targets[start:end], top_k[start:end], result)
    return result


def _gather_chunk(
    logits: torch.Tensor, targets: torch.Tensor, top_k: Sequence[int], result: RowLogprobs
) -> None:
    vocab_size = logits.shape[1]
    norm = logits.logsumexp(dim=-1, keepdim=True)
    inside = (targets >= 0) & (targets < vocab_size)
    chosen = logits.gather(1, targets.clamp(0, vocab_size - 1)[:, None]) - norm
    chosen = chosen.squeeze(1).masked_fill(~inside, MIN_LOGPROB)
    result.logprobs.extend(_finite(chosen).tolist())
    counts = [min(k, vocab_size) for k in top_k]
    wanted = [row for row, k in enumerate(counts) if k > 0]
    values: list[list[float]] = []
    ids: list[list[int]] = []
    if wanted:
        subset = slice(None) if len(wanted) == len(counts) else wanted
        best, best_ids = best_first(logits[subset], max(counts))
        values, ids = _finite(best - norm[subset]).tolist(), best_ids.tolist()
    found = iter(zip(values, ids, strict=True))
    for k in counts:
        row_values, row_ids = next(found) if k > 0 else ([], [])
        result.top_logprobs.append(row_values[:k])
        result.top_ids.append(row_ids[:k])


def _finite(logprobs: torch.Tensor) -> torch.Tensor:
    """Replaces NaN and infinities; rounding may not lift a probability above one."""
    logprobs = logprobs.nan_to_num(nan=MIN_LOGPROB, posinf=MIN_LOGPROB, neginf=MIN_LOGPROB)
    return logprobs.clamp(min=MIN_LOGPROB, max=0.0)
