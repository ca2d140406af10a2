"""Gives running requests their slots: the meeting point of slot table, prefix tree and pool."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sglang.srt.managers.request import Request
from sglang.srt.mem_cache.radix_cache import RadixCache
from sglang.srt.mem_cache.slot_allocator import SlotAllocator
from sglang.srt.mem_cache.slot_table import SlotTable
from sglang.srt.model_executor.batch import Batch


class RequestMemory:
    """All slots of a pool, and who has them.

    A running request has a row in the table. The first ``num_shared`` slots of it belong to the
    prefix tree, which keeps them while the request holds its lock; the others are its own.
    """

    def __init__(
        self, *, num_slots: int, max_running: int, max_context: int, prefix_cache: bool
    ) -> None:
        self.allocator = SlotAllocator(num_slots)
        self.cache = RadixCache(self.allocator, enabled=prefix_cache)
        self.table = SlotTable(max_running, max_context)

    @property
    def available(self) -> int:
        """Slots that can be had now, by eviction if need be."""
        return self.cache.available

    def try_admit(self, request: Request, *, room: int) -> bool:
        """Give ``request`` a row filled with its cached prefix.

        Does nothing and returns False if, besides the tokens still to be computed, fewer than
        ``room`` slots would be left.
        """
        found = self.cache.match(request.known()[: request.max_cached], request.namespace)
        length = len(found.slots)
        self.cache.lock(found.node)
        if request.num_tokens - length + room > self.available:
            self.cache.unlock(found.node)
            return False
        request.node = found.node
        request.row = self.table.alloc()
        self.table.slots[request.row, :length] = found.slots
        request.num_shared = request.num_slots = request.num_computed = length
        if request.cached_tokens < 0:
            request.cached_tokens = length
        return True

    def extend(self, entries: Batch[Request]) -> None:
        """Take slots for all tokens that a batch computes."""
        slots = self.cache.alloc(sum(e.count for e in entries))
        rows = self.table.slots
        taken = 0
        for entry in entries:
            request, end = entry.request, entry.start + entry.count
            rows[request.row, entry.start : end] = slots[taken : taken + entry.count]
            taken += entry.count
            request.num_slots = end

    def share(self, request: Request) -> None:
        """Put what is computed of a running request into the tree, for others to find.

        Where the tree had the same tokens meanwhile, the request's own copies are freed.
        """
        n = request.num_computed
        if not self.cache.enabled or n == request.num_shared:
            return
        tokens, row = request.tokens[:n], self.table.slots[request.row]
        present = self.cache.insert(tokens, row[:n], request.namespace)
        if present > request.num_shared:
            self.cache.free(row[request.num_shared : present].copy())
        found = self.cache.match(tokens, request.namespace)
        row[:n] = found.slots
        self.table.revisions[request.row] += 1
        self.cache.lock(found.node)
        assert request.node is not None
        self.cache.unlock(request.node)
        request.node, request.num_shared = found.node, n

    def release(self, request: Request) -> None:
        """Take everything back; the tokens that were computed stay in the tree."""
        self.share(request)
        row = self.table.slots[request.row]
        self.cache.free(row[request.num_shared : request.num_slots].copy())
        assert request.node is not None
        self.cache.unlock(request.node)
        self.table.free(request.row)
        request.node, request.row = None, -1
        request.num_shared = request.num_slots = request.num_computed = 0

    def check(self, running: Iterable[Request]) -> None:
        """Verify that every slot has exactly one owner.

        Raises:
            RuntimeError: naming what is lost, owned twice or wrongly locked.
        """
        owners = np.zeros(self.allocator.num_slots, dtype=np.int32)
        np.add.at(owners, self.allocator.free_slots(), 1)
        locked = evictable = 0
        for node in self.cache.nodes():
            np.add.at(owners, node.slots, 1)
            locked += len(node.slots) if node.locks else 0
            evictable += 0 if node.locks else len(node.slots)
        rows = 0
        for request in running:
            rows += 1
            row = self.table.slots[request.row]
            np.add.at(owners, row[request.num_shared : request.num_slots], 1)
        lost, doubled = int((owners == 0).sum()), int((owners > 1).sum())
        if lost or doubled:
            raise RuntimeError(f"KV pool: {lost} slots lost, {doubled} owned twice")
        if evictable != self.cache.evictable or locked != self.cache.size - evictable:
            raise RuntimeError("prefix tree: counts of locked and evictable slots are off")
        if not rows and locked:
            raise RuntimeError(f"prefix tree: {locked} slots locked while nothing runs")
        if rows + self.table.num_free != len(self.table.slots):
            raise RuntimeError("slot table: rows lost")
