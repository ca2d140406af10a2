"""``RadixCache.forget``: frees what nobody else has a use for, and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.mem_cache.radix_cache import RadixCache
from sglang.srt.mem_cache.slot_allocator import SlotAllocator

SLOTS = 64


def ids(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32)


def make_cache(*sequences: str) -> RadixCache:
    cache = RadixCache(SlotAllocator(SLOTS))
    for sequence in sequences:
        add(cache, sequence)
    return cache


def add(cache: RadixCache, sequence: str) -> None:
    tokens = ids(sequence)
    slots = cache.alloc(len(tokens))
    present = cache.insert(tokens, slots)
    cache.free(slots[:present])


def cached(cache: RadixCache, sequence: str) -> int:
    return len(cache.match(ids(sequence)).slots)


def check(cache: RadixCache) -> None:
    """Every slot is free or in one node."""
    owned = np.concatenate([cache._allocator.free_slots(), *(n.slots for n in cache.nodes())])
    assert sorted(owned.tolist()) == list(range(SLOTS))
    assert cache.evictable == cache.size == SLOTS - cache._allocator.num_free


@pytest.mark.parametrize(
    ("others", "keep", "left"),
    [
        ([], 0, 0),
        (["abxy"], 0, 2),
        (["ab"], 0, 0),
        (["abcdefgh"], 0, 6),
        ([], 4, 4),
        ([], 6, 6),
        (["abxy"], 1, 2),
        (["abxy"], 5, 5),
    ],
)
def test_what_stays_of_a_sequence(others: list[str], keep: int, left: int) -> None:
    cache = make_cache("abcdef", *others)
    cache.forget(ids("abcdef"), keep=keep)
    check(cache)
    assert cached(cache, "abcdef") == left
    assert all(cached(cache, other) == len(other) for other in others if other != "ab")


def test_a_locked_part_stays() -> None:
    cache = make_cache("abcdef")
    node = cache.match(ids("abc")).node
    cache.lock(node)
    cache.forget(ids("abcdef"))
    assert cached(cache, "abcdef") == 3
    cache.unlock(node)
    check(cache)


def test_what_is_not_there_is_no_error() -> None:
    cache = make_cache("abc")
    cache.forget(ids("xyz"))
    cache.forget(ids("abc"), "another namespace")
    check(cache)
    assert cached(cache, "abc") == 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.text("ab", min_size=1, max_size=8)), max_size=40))
def test_forgetting_and_evicting_lose_no_slot(steps: list[tuple[bool, str]]) -> None:
    cache = make_cache()
    for forgets, sequence in steps:
        if forgets:
            cache.forget(ids(sequence), keep=len(sequence) // 2)
        else:
            add(cache, sequence)
        check(cache)
    cache.flush()
    assert cache._allocator.num_free == SLOTS
