"""Keeps some of a KV pool committed beyond what was ever used."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence

import torch

from sglang.srt.kernels.cpu.commit import HUGE_PAGE, commit

AHEAD_BYTES = 512 << 20


class CommitAhead:
    """A thread that commits memory while a core has nothing else to do.

    ``tensors`` are contiguous with one row a slot. On systems that cannot do this nothing happens.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._tensors = tensors
        self._num_slots = len(tensors[0])
        self._bytes_per_slot = sum(x.nbytes for x in tensors) / self._num_slots
        self._wanted = 0
        self._changed = threading.Condition()
        self.committed = 0
        """Slots 0 .. committed-1 are."""
        if sys.platform == "linux":
            threading.Thread(target=self._run, name="commit-ahead", daemon=True).start()

    def beyond(self, used: int) -> None:
        """Slots 0 .. ``used``-1 have been in use: have ``AHEAD_BYTES`` ready after them."""
        wanted = min(self._num_slots, used + int(AHEAD_BYTES / self._bytes_per_slot))
        with self._changed:
            self._wanted = wanted
            self._changed.notify()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # this thread only
        rows = [tensor.nbytes // self._num_slots for tensor in self._tensors]
        step = max(1, HUGE_PAGE // max(rows))
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.committed < self._wanted)
            end = min(self.committed + step, self._num_slots)
            for tensor, row in zip(self._tensors, rows, strict=True):
                first = tensor.data_ptr() + self.committed * row
                if not commit(first, (end - self.committed) * row):
                    return
            self.committed = end
