"""The sampling parameters of a step's rows as tensors, grouped by the work they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import torch

from sglang.srt.sampling.logit_edits import LogitEdits, make_logit_edits
from sglang.srt.sampling.noise import uniform
from sglang.srt.sampling.processed_logits import ProcessorGroup, group_by_processor
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.sampling.sampling_row import SamplingRow

CANDIDATES = 256
"""How many of the best tokens top-k and top-p look at before they turn to all of them."""


class Route(Enum):
    """How a row finds the tokens it may draw. All routes find the same ones."""

    UNFILTERED = 0
    """Neither top-k nor top-p."""
    CANDIDATES = 1
    """Among the best few, and by thresholds only if these turn out too few."""
    THRESHOLD = 2
    """By thresholds on the weights of all tokens."""


@dataclass(slots=True)
class DrawGroup:
    """R rows of a batch that draw their token by the same route."""

    rows: torch.Tensor | None
    """[R] int64, or None for all rows in order."""
    uniforms: torch.Tensor
    """[R] float64 in [0, 1)."""
    temperature: torch.Tensor
    """[R] float32."""
    min_p: torch.Tensor | None
    """[R] float32; None if 0 for all."""
    top_k: torch.Tensor | None
    """[R] int64, at most V; None if nobody limits it."""
    top_p: torch.Tensor | None
    """[R] float64; None if 1 for all."""
    route: Route


DrawTokens = Callable[[torch.Tensor, torch.Tensor, DrawGroup], torch.Tensor]
"""Tokens [R] int64 of a group, from all logits [B, V] float32 and their row maxima [B]."""


@dataclass(slots=True)
class SamplingBatch:
    """Everything :func:`~sglang.srt.sampling.sampler.sample` needs besides the logits [B, V]."""

    size: int
    vocab_size: int
    edits: LogitEdits | None
    groups: list[DrawGroup]
    """The rows that draw; the others take the best token."""
    constrained: dict[int, SamplingRow] = field(default_factory=dict)
    """The rows that have a grammar."""
    processed: list[ProcessorGroup] = field(default_factory=list)
    """The rows that have a custom logit processor."""

    @property
    def greedy(self) -> bool:
        """Whether one argmax over the untouched logits is all there is to do."""
        return not (self.edits or self.constrained or self.groups or self.processed)


def make_sampling_batch(
    rows: Sequence[SamplingRow], vocab_size: int, device: torch.device | str
) -> SamplingBatch:
    """Prepares one step: row ``i`` goes with row ``i`` of the logits.

    Args:
        rows: One per row of logits, as of now: the draw is for token ``len(output_ids)``.
        vocab_size: Columns of the logits.
        device: Where the logits are.
    """
    device = torch.device(device)
    edits = None
    if any(row.edited for row in rows):
        edits = make_logit_edits(rows, vocab_size, device)
    members: dict[tuple[Route, bool], list[int]] = {}
    for i, row in enumerate(rows):
        if not row.greedy:
            members.setdefault(_route(row.params, vocab_size), []).append(i)
    groups = [
        _group(rows, indices, route, limited, device)
        for (route, limited), indices in members.items()
    ]
    constrained = {i: row for i, row in enumerate(rows) if row.grammar is not None}
    processed = group_by_processor(rows)
    return SamplingBatch(len(rows), vocab_size, edits, groups, constrained, processed)


def _route(params: SamplingParams, vocab_size: int) -> tuple[Route, bool]:
    """Where a row belongs, and whether ``top_k`` limits it."""
    top_k = params.top_k
    if top_k == -1 or top_k >= vocab_size:
        return (Route.UNFILTERED if params.top_p == 1.0 else Route.CANDIDATES), False
    # Twice top_k, so that tokens which tie with the k-th best are in sight too.
    few = 2 * top_k <= CANDIDATES or vocab_size <= CANDIDATES
    return (Route.CANDIDATES if few else Route.THRESHOLD), True


def _group(
    rows: Sequence[SamplingRow],
    indices: list[int],
    route: Route,
    limited: bool,
    device: torch.device,
) -> DrawGroup:
    params = [rows[i].params for i in indices]
    uniforms = uniform(
        np.array([rows[i].seed for i in indices], dtype=np.int64),
        np.array([len(rows[i].output_ids) for i in indices], dtype=np.int64),
    )

    def tensor(values: Sequence[float], dtype: type[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.array(values, dtype=dtype)).to(device)

    min_p = [p.min_p for p in params]
    top_p = [p.top_p for p in params]
    return DrawGroup(
        rows=None if len(indices) == len(rows) else tensor(indices, np.int64),
        uniforms=torch.from_numpy(uniforms).to(device),
        temperature=tensor([p.temperature for p in params], np.float32),
        min_p=tensor(min_p, np.float32) if any(min_p) else None,
        top_k=tensor([p.top_k for p in params], np.int64) if limited else None,
        top_p=tensor(top_p, np.float64) if min(top_p) < 1.0 else None,
        route=route,
    )
