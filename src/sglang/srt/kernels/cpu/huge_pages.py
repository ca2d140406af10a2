"""Memory in huge pages, for what is read at every step.

A decode step reads every weight once, so each small page costs a walk of the page tables, which in
a virtual machine takes longer than reading the page: huge pages can double the bandwidth.
"""

from __future__ import annotations

import contextlib
import math
import mmap

import torch

HUGE_PAGE = 2 << 20
CHUNK = 64 << 20
ALIGNMENT = 64


class HugePages:
    """Hands out memory from large mappings; each is freed with the last tensor in it.

    Where the system offers no huge pages the memory is ordinary. Pages are committed when they
    are first written.
    """

    def __init__(self) -> None:
        self._chunk = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialised contiguous tensor at an address that is a multiple of 64 bytes."""
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return torch.empty(shape, dtype=dtype)
        if size > CHUNK // 2:
            return _map(size)[:size].view(dtype).view(shape)
        if self._used + size > len(self._chunk):
            self._chunk, self._used = _map(CHUNK), 0
        start = self._used
        self._used += -(-size // ALIGNMENT) * ALIGNMENT
        return self._chunk[start : start + size].view(dtype).view(shape)


def _map(size: int) -> torch.Tensor:
    """At least ``size`` bytes, beginning at a huge page."""
    length = -(-size // HUGE_PAGE) * HUGE_PAGE + HUGE_PAGE
    # Shared memory, the default, has huge pages on few systems.
    mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError, AttributeError):  # not on this system
        mapping.madvise(mmap.MADV_HUGEPAGE)
    whole = torch.frombuffer(mapping, dtype=torch.uint8)
    return whole[-whole.data_ptr() % HUGE_PAGE :]
