"""The slot table's copy on a device: a step sends up the slots of its new tokens, no more."""

from __future__ import annotations

import numpy as np
import torch

from sglang.srt.mem_cache.slot_table import SlotTable
from sglang.srt.model_executor.step_arrays import StepArrays


class DeviceSlots:
    """The rows of ``table`` on ``device``, and one row more, for what pads a batch.

    ``flat`` [(rows + 1) * width] int32 is what ``AttentionMeta.kv_slots`` is. Whatever the spare
    row points to is ``spare_slot``, which no request has.
    """

    def __init__(self, table: SlotTable, device: torch.device, spare_slot: int) -> None:
        rows, width = table.slots.shape
        self.width, self.spare_row, self.spare_slot = width, rows, spare_slot
        self.flat = torch.zeros((rows + 1) * width, dtype=torch.int32, device=device)
        self.flat[rows * width] = spare_slot
        self._table = table
        self._revisions = np.full(rows, -1, dtype=np.int64)
        """Of each row as it was copied."""
        self._lengths = np.zeros(rows, dtype=np.int64)
        """Slots of the row that are the same here."""

    def update(self, arrays: StepArrays) -> None:
        """Copy what the sequences of a batch had before it, where that is not here already.

        The slots of the batch's own tokens are for ``append``.
        """
        rows, ends = arrays.table_rows, arrays.kv_len
        starts = ends - np.diff(arrays.q_indptr)
        revisions = self._table.revisions[rows]
        missing = (self._revisions[rows] != revisions) | (self._lengths[rows] < starts)
        for row, start in zip(rows[missing].tolist(), starts[missing].tolist(), strict=True):
            values = torch.from_numpy(self._table.slots[row, :start])
            self.flat[row * self.width : row * self.width + start].copy_(values)
        self._revisions[rows] = revisions
        self._lengths[rows] = ends

    def append(self, places: torch.Tensor, slots: torch.Tensor) -> None:
        """Set ``flat[places]`` [T] int64 to ``slots`` [T] int32, those of a batch's tokens."""
        self.flat.scatter_(0, places, slots)
