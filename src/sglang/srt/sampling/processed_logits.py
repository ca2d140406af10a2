"""Custom logit processors at work on the rows of a batch that have one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor, short
from sglang.srt.sampling.sampling_row import SamplingRow

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ProcessorGroup:
    """The rows of a batch that share a processor."""

    processor: CustomLogitProcessor
    indices: list[int]
    rows: list[SamplingRow]


def group_by_processor(rows: Sequence[SamplingRow]) -> list[ProcessorGroup]:
    """The groups of a batch, in the order of their first rows."""
    groups: dict[int, ProcessorGroup] = {}
    for index, row in enumerate(rows):
        if row.processor is not None:
            group = groups.setdefault(id(row.processor), ProcessorGroup(row.processor, [], []))
            group.indices.append(index)
            group.rows.append(row)
    return list(groups.values())


def apply_processors(scores: torch.Tensor, groups: Sequence[ProcessorGroup]) -> None:
    """Replace the rows of scores [B, V] that have a processor by what that makes of them.

    Each processor is called once. If it fails, it is called for each of its rows alone; those for
    which it fails again become NaN, and their ``SamplingRow.error`` says why.
    """
    for group in groups:
        try:
            _apply(scores, group)
        except Exception as error:
            if len(group.rows) > 1:
                pairs = zip(group.indices, group.rows, strict=True)
                alone = [ProcessorGroup(group.processor, [i], [row]) for i, row in pairs]
                apply_processors(scores, alone)
                continue
            logger.warning("a custom logit processor failed", exc_info=True)
            group.rows[0].error = f"custom_logit_processor failed: {short(error)}"
            scores[group.indices] = torch.nan


def _apply(scores: torch.Tensor, group: ProcessorGroup) -> None:
    # A copy, so that a processor that fails half-way has changed nothing.
    own = scores[group.indices]
    shape = own.shape
    # Foreign code: its annotations promise nothing.
    result: object = group.processor(own, [row.custom_params for row in group.rows])
    if not isinstance(result, torch.Tensor) or result.shape != shape:
        found = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        raise ValueError(f"it must return logits of shape {tuple(shape)}, got {found}")
    scores[group.indices] = result.to(scores)
