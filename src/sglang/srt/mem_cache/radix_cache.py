"""RadixAttention: the tree of everything whose keys and values are still in the pool.

Edges are runs of token ids, and every token of an edge has a slot. Requests share what they
have in common: a running request locks the path it uses, and unlocked leaves are evicted
least recently used first when slots run out. See "SGLang: Efficient Execution of Structured
Language Model Programs" (Zheng et al., 2024), section 3.

Invariant: every slot is in exactly one of the free list, one node of this tree, or the
private tail of one request.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sglang.srt.mem_cache.slot_allocator import SlotAllocator

Ids = NDArray[np.int32]
EMPTY: Ids = np.empty(0, dtype=np.int32)


class Node:
    """An edge of the tree with the subtree below it."""

    __slots__ = ("children", "in_heap", "key", "last_used", "locks", "parent", "slots")

    def __init__(self, key: Ids, slots: Ids, parent: Node | None) -> None:
        self.key = key
        self.slots = slots
        self.parent = parent
        self.children: dict[int, Node] = {}
        self.locks = 0
        self.last_used = 0
        self.in_heap = False


@dataclass(frozen=True, slots=True)
class Match:
    """The longest prefix found: its slots, and the node where it ends (for locking)."""

    slots: Ids
    node: Node


def common_prefix_length(a: Ids, b: Ids) -> int:
    """Number of leading elements that two id arrays share."""
    n = min(len(a), len(b))
    differs = a[:n] != b[:n]
    first = int(differs.argmax()) if n else 0
    return first if n and differs[first] else n


class RadixCache:
    """The prefix tree over the slots of one pool.

    Requests find each other's prefixes only within a namespace: a string that stands for
    whatever changes the KV besides the tokens (adapter, images, cache salt).

    With ``enabled=False`` nothing is ever kept, by the same interface.
    """

    def __init__(self, allocator: SlotAllocator, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self.version = 0
        """Grows whenever a match could turn out differently."""
        self._allocator = allocator
        self._roots: dict[str, Node] = {}
        self._clock = 0
        self._heap: list[tuple[int, int, Node]] = []
        self._pushes = 0
        self._evictable = 0
        self._locked = 0

    # ----------------------------------------------------------------- reading

    @property
    def evictable(self) -> int:
        """Slots in nodes that no request has locked."""
        return self._evictable

    @property
    def size(self) -> int:
        """Slots in the tree."""
        return self._evictable + self._locked

    @property
    def available(self) -> int:
        """Slots that ``alloc`` can provide now."""
        return self._allocator.num_free + self._evictable

    def match(self, tokens: Ids, namespace: str = "") -> Match:
        """Longest cached prefix of ``tokens``; a node that is matched in part is split."""
        node = self._roots.get(namespace) or Node(EMPTY, EMPTY, None)
        found: list[Ids] = []
        self._clock += 1
        node.last_used = self._clock
        start = 0
        while start < len(tokens):
            child = node.children.get(int(tokens[start]))
            if child is None:
                break
            n = common_prefix_length(child.key, tokens[start:])
            if n < len(child.key):
                child = self._split(child, n)
            child.last_used = self._clock
            found.append(child.slots)
            node = child
            start += n
            if n < len(child.key):
                break
        slots = EMPTY if not found else found[0] if len(found) == 1 else np.concatenate(found)
        return Match(slots, node)

    def nodes(self) -> Iterator[Node]:
        """Every node but the roots."""
        stack = [child for root in self._roots.values() for child in root.children.values()]
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            yield node

    # ----------------------------------------------------------------- writing

    def insert(self, tokens: Ids, slots: Ids, namespace: str = "") -> int:
        """Store ``tokens`` with their slots; returns how many leading ones were there already.

        The tree takes over ``slots[returned:]``. The slots before that remain the caller's:
        where they differ from the tree's own, they are duplicates to be freed.
        """
        if not self.enabled:
            return 0
        if namespace not in self._roots:
            self._roots[namespace] = Node(EMPTY, EMPTY, None)
        present = self.match(tokens, namespace)
        start = len(present.slots)
        if start < len(tokens):
            leaf = Node(tokens[start:].copy(), slots[start:].copy(), present.node)
            leaf.last_used = self._clock
            present.node.children[int(leaf.key[0])] = leaf
            self._evictable += len(leaf.key)
            self._offer(leaf)
            self.version += 1
        return start

    def lock(self, node: Node) -> None:
        """Keep ``node`` and everything above it until ``unlock``."""
        current: Node | None = node
        while current is not None and current.parent is not None:
            if current.locks == 0:
                self._evictable -= len(current.key)
                self._locked += len(current.key)
            current.locks += 1
            current = current.parent

    def unlock(self, node: Node) -> None:
        """Undo one ``lock`` of the same node."""
        current: Node | None = node
        while current is not None and current.parent is not None:
            current.locks -= 1
            if current.locks == 0:
                self._evictable += len(current.key)
                self._locked -= len(current.key)
                self._offer(current)
            current = current.parent

    def alloc(self, count: int) -> Ids:
        """Take ``count`` slots, evicting least recently used leaves as needed.

        Raises:
            RuntimeError: more than ``available`` slots are wanted.
        """
        missing = count - self._allocator.num_free
        if missing > 0:
            self._evict(missing)
        return self._allocator.alloc(count)

    def free(self, slots: Ids) -> None:
        """Give back slots that are the caller's own."""
        if len(slots):
            self._allocator.free(slots)

    def forget(self, tokens: Ids, namespace: str = "", *, keep: int = 0) -> None:
        """Free the end of a sequence, up to where others branch off, go on or hold a lock.

        Its first ``keep`` tokens stay in any case.
        """
        kept = self.match(tokens[:keep], namespace).node
        node = self.match(tokens, namespace).node
        while node is not kept and not node.children and not node.locks:
            parent = node.parent
            if parent is None:
                return
            self._remove(node)
            self.version += 1
            node = parent

    def flush(self) -> None:
        """Drop everything that is not locked."""
        self._evict(self._evictable)

    # ----------------------------------------------------------------- inside

    def _split(self, node: Node, at: int) -> Node:
        """Cut an edge in two; returns the new upper part, of length ``at``."""
        parent = node.parent
        assert parent is not None
        upper = Node(node.key[:at], node.slots[:at], parent)
        upper.locks = node.locks
        upper.last_used = node.last_used
        upper.children[int(node.key[at])] = node
        parent.children[int(upper.key[0])] = upper
        node.key, node.slots, node.parent = node.key[at:], node.slots[at:], upper
        return upper

    def _offer(self, node: Node) -> None:
        """Put a node that may be evictable on the heap, unless it is there."""
        if not node.in_heap and node.locks == 0 and not node.children:
            node.in_heap = True
            self._pushes += 1
            heapq.heappush(self._heap, (node.last_used, self._pushes, node))

    def _evict(self, count: int) -> None:
        """Free at least ``count`` slots, or all that can be.

        Heap entries may be stale: used again, locked, grown or removed since. They are put right
        when they surface.
        """
        freed = 0
        while freed < count and self._heap:
            last_used, _, node = heapq.heappop(self._heap)
            node.in_heap = False
            if node.locks or node.children or node.parent is None:
                continue
            if node.last_used != last_used:
                self._offer(node)
                continue
            self._remove(node)
            freed += len(node.key)
        if freed:
            self.version += 1

    def _remove(self, leaf: Node) -> None:
        parent = leaf.parent
        assert parent is not None
        self._allocator.free(leaf.slots)
        self._evictable -= len(leaf.key)
        leaf.parent = None
        del parent.children[int(leaf.key[0])]
        if parent.parent is not None:
            self._offer(parent)
        elif not parent.children:
            for namespace, root in list(self._roots.items()):
                if root is parent and namespace:
                    del self._roots[namespace]
