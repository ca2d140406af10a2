"""A batch as arrays, before any of it is put on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sglang.srt.model_executor.batch import Batch, R


class StepArrays(NamedTuple):
    """T new tokens of B sequences, of which R rows need logits; see ``ForwardBatch``."""

    input_ids: NDArray[np.int64]
    """[T]."""
    positions: NDArray[np.int32]
    """[T]."""
    out_slots: NDArray[np.int32]
    """[T]."""
    q_indptr: NDArray[np.int32]
    """[B+1]."""
    table_rows: NDArray[np.int64]
    """[B], rows of the slot table."""
    kv_start: NDArray[np.int64]
    """[B], where these rows begin in the flattened table."""
    kv_len: NDArray[np.int32]
    """[B]."""
    logits_rows: NDArray[np.int64]
    """[R]."""


def make_step_arrays(
    batch: Batch[R],
    q_indptr: NDArray[np.int32],
    logits_rows: Sequence[int],
    slots: NDArray[np.int32],
) -> StepArrays:
    """Arrays of ``batch``, whose slots are in the slot table ``slots`` [rows, width]."""
    starts = np.array([e.start for e in batch], dtype=np.int32)
    table_rows = np.array([e.request.row for e in batch], dtype=np.int64)
    counts = np.diff(q_indptr)
    if int(q_indptr[-1]) == len(batch):
        positions, token_rows = starts, table_rows
        ids = np.array([e.request.tokens[e.start] for e in batch], dtype=np.int64)
    else:
        token_rows = np.repeat(table_rows, counts)
        positions = np.arange(q_indptr[-1], dtype=np.int32)
        positions += np.repeat(starts - q_indptr[:-1], counts)
        ids = np.concatenate([e.request.tokens[e.start : e.start + e.count] for e in batch])
    return StepArrays(
        input_ids=ids.astype(np.int64, copy=False),
        positions=positions,
        out_slots=slots[token_rows, positions],
        q_indptr=q_indptr,
        table_rows=table_rows,
        kv_start=table_rows * slots.shape[1],
        kv_len=starts + counts,
        logits_rows=np.array(logits_rows, dtype=np.int64),
    )
