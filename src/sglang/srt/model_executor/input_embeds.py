"""Prompts that come as vectors: where in a batch they belong."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.model_executor.batch import Batch, R
from sglang.srt.model_executor.forward_batch import PlacedEmbeds


def place_embeds(batch: Batch[R], q_indptr: NDArray[np.int32]) -> PlacedEmbeds | None:
    """The vectors of all prompt tokens of ``batch`` that have some; None if there are none.

    ``q_indptr`` [B+1] says where each entry begins.
    """
    rows: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    for entry, first in zip(batch, q_indptr[:-1].tolist(), strict=True):
        given = entry.request.input_embeds
        if given is not None and entry.start < len(given):
            part = given[entry.start : entry.start + entry.count]
            rows.append(np.arange(first, first + len(part)))
            values.append(part)
    if not rows:
        return None
    return PlacedEmbeds(
        torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(values))
    )
