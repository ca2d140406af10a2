"""Free list of KV slots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SlotAllocator:
    """A stack of free slot numbers 0 .. num_slots-1.

    The last freed slots are handed out first, so that a lightly used pool stays within the
    memory it has already touched.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._stack = np.arange(num_slots - 1, -1, -1, dtype=np.int32)
        self._size = num_slots
        self._least = num_slots

    @property
    def num_free(self) -> int:
        return self._size

    @property
    def num_used(self) -> int:
        """Only slots 0 .. num_used-1 have ever been handed out."""
        return self.num_slots - self._least

    def alloc(self, count: int) -> NDArray[np.int32]:
        """Take ``count`` slots. The caller has made sure that they are there.

        Raises:
            RuntimeError: fewer than ``count`` slots are free.
        """
        if count > self._size:
            raise RuntimeError(f"{count} slots wanted, {self._size} of {self.num_slots} free")
        self._size -= count
        self._least = min(self._least, self._size)
        return self._stack[self._size : self._size + count][::-1].copy()

    def free(self, slots: NDArray[np.int32]) -> None:
        """Give back slots that no one refers to any more."""
        end = self._size + len(slots)
        if end > self.num_slots:
            raise RuntimeError(f"{len(slots)} slots freed, but only {self._size} were taken")
        self._stack[self._size : end] = slots[::-1]
        self._size = end

    def free_slots(self) -> NDArray[np.int32]:
        """The free slots, in no particular order (for integrity checks)."""
        return self._stack[: self._size]
