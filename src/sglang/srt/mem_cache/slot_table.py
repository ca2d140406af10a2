"""Which slot holds which token of each running request."""

from __future__ import annotations

import numpy as np


class SlotTable:
    """One row of ``width`` slots for each request that can run at a time.

    ``slots[row, j]`` is the slot of token ``j``. Rows are never copied: attention reads them
    in place (see ``AttentionMeta``). Untouched rows take no memory.
    """

    def __init__(self, num_rows: int, width: int) -> None:
        self.slots = np.zeros((num_rows, width), dtype=np.int32)
        self.revisions = np.zeros(num_rows, dtype=np.int64)
        """Changes when a row changes in another way than that slots are added at its end."""
        self._free = list(range(num_rows - 1, -1, -1))

    @property
    def num_free(self) -> int:
        return len(self._free)

    def alloc(self) -> int:
        """Take a row.

        Raises:
            IndexError: all rows are taken.
        """
        row = self._free.pop()
        self.revisions[row] += 1
        return row

    def free(self, row: int) -> None:
        self._free.append(row)
