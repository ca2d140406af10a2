"""Memory in huge pages, for what is read at every step.

A decode step reads every weight once, so each small page costs a walk of the page tables, which in
a virtual machine takes longer than reading the page: huge pages can double the bandwidth.
"""

from __future__ import annotations

import math
import mmap

import torch

from sglang.srt.kernels.cpu.commit import HUGE_PAGE, map_huge_pages

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
        self._given = torch.empty(0, dtype=torch.uint8)
        self._given_used = 0

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """An uninitialised contiguous tensor at an address that is a multiple of 64 bytes."""
        size = math.prod(shape) * dtype.itemsize
        if size == 0:
            return torch.empty(shape, dtype=dtype)
        if size > CHUNK // 2:
            return self._map(size)[:size].view(dtype).view(shape)
        if self._used + size > len(self._chunk):
            self._chunk, self._used = self._map(CHUNK)[:CHUNK], 0
        start = self._used
        self._used += -(-size // ALIGNMENT) * ALIGNMENT
        return self._chunk[start : start + size].view(dtype).view(shape)

    def use_first(self, memory: mmap.mmap) -> None:
        """Hand out ``memory``, made by ``map_huge_pages``, before anything else is mapped."""
        self._given, self._given_used = _aligned(memory), 0

    def _map(self, size: int) -> torch.Tensor:
        """At least ``size`` bytes, beginning at a huge page unless they were given."""
        if self._given_used + size <= len(self._given):
            start = self._given_used
            self._given_used += -(-size // ALIGNMENT) * ALIGNMENT
            return self._given[start:]
        return _aligned(map_huge_pages(size))


def _aligned(memory: mmap.mmap) -> torch.Tensor:
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    return whole[-whole.data_ptr() % HUGE_PAGE :]
