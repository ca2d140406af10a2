"""The prefix tree: matching, sharing, locking and eviction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.mem_cache.radix_cache import RadixCache, common_prefix_length
from sglang.srt.mem_cache.slot_allocator import SlotAllocator


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def make_cache(num_slots: int = 32) -> tuple[RadixCache, SlotAllocator]:
    allocator = SlotAllocator(num_slots)
    return RadixCache(allocator), allocator


def store(cache: RadixCache, tokens: np.ndarray, namespace: str = "") -> np.ndarray:
    """Insert tokens with fresh slots, freeing duplicates; returns the slots in the tree."""
    slots = cache.alloc(len(tokens))
    present = cache.insert(tokens, slots, namespace)
    cache.free(slots[:present])
    return cache.match(tokens, namespace).slots


def test_common_prefix_length_counts_equal_leading_elements():
    assert common_prefix_length(ids(1, 2, 3), ids(1, 2, 4, 5)) == 2


def test_common_prefix_length_of_equal_arrays_is_their_length():
    assert common_prefix_length(ids(1, 2), ids(1, 2, 3)) == 2


def test_common_prefix_length_of_an_empty_array_is_zero():
    assert common_prefix_length(ids(), ids(1)) == 0


def test_an_empty_tree_matches_nothing():
    cache, _ = make_cache()
    assert len(cache.match(ids(1, 2)).slots) == 0


def test_a_stored_sequence_is_found_with_its_slots():
    cache, _ = make_cache()
    slots = store(cache, ids(1, 2, 3))
    assert cache.match(ids(1, 2, 3, 4)).slots.tolist() == slots.tolist()


def test_a_partial_match_splits_the_edge():
    cache, _ = make_cache()
    slots = store(cache, ids(1, 2, 3, 4))
    assert cache.match(ids(1, 2, 9)).slots.tolist() == slots[:2].tolist()
    assert cache.match(ids(1, 2, 3, 4)).slots.tolist() == slots.tolist()


def test_branches_share_their_common_prefix():
    cache, allocator = make_cache()
    first = store(cache, ids(1, 2, 3))
    second = store(cache, ids(1, 2, 4))
    assert first[:2].tolist() == second[:2].tolist()
    assert allocator.num_free == 32 - 4


def test_namespaces_do_not_see_each_other():
    cache, _ = make_cache()
    store(cache, ids(1, 2, 3), "a")
    assert len(cache.match(ids(1, 2, 3), "b").slots) == 0


def test_a_match_in_an_unknown_namespace_leaves_no_trace():
    cache, _ = make_cache()
    for i in range(10):
        cache.match(ids(1), f"salt-{i}")
    assert not list(cache.nodes()) and not cache._roots


def test_eviction_takes_the_least_recently_used_leaf():
    cache, _ = make_cache(6)
    store(cache, ids(1, 2, 3))
    store(cache, ids(4, 5, 6))
    cache.match(ids(1, 2, 3))
    cache.alloc(2)
    assert len(cache.match(ids(1, 2, 3)).slots) == 3
    assert len(cache.match(ids(4, 5, 6)).slots) == 0


def test_a_locked_path_survives_eviction():
    cache, _ = make_cache(6)
    store(cache, ids(1, 2, 3))
    node = cache.match(ids(1, 2, 3)).node
    cache.lock(node)
    store(cache, ids(4, 5, 6))
    assert cache.available == 3
    cache.alloc(3)
    assert len(cache.match(ids(1, 2, 3)).slots) == 3


def test_unlocked_nodes_become_available_again():
    cache, _ = make_cache(6)
    store(cache, ids(1, 2, 3))
    node = cache.match(ids(1, 2, 3)).node
    cache.lock(node)
    assert cache.available == 3
    cache.unlock(node)
    assert cache.available == 6


def test_a_lock_holds_after_its_node_was_split():
    cache, _ = make_cache(8)
    store(cache, ids(1, 2, 3, 4))
    node = cache.match(ids(1, 2, 3, 4)).node
    cache.lock(node)
    cache.match(ids(1, 2))
    assert cache.evictable == 0
    cache.unlock(node)
    assert cache.evictable == 4


def test_a_parent_is_evicted_after_its_children():
    cache, _ = make_cache(4)
    store(cache, ids(1, 2, 3))
    store(cache, ids(1, 2, 4))
    assert len(cache.alloc(4)) == 4
    assert cache.size == 0


def test_more_than_available_is_refused():
    cache, _ = make_cache(4)
    with pytest.raises(RuntimeError, match="5 slots wanted"):
        cache.alloc(5)


def test_flush_empties_the_tree():
    cache, allocator = make_cache()
    store(cache, ids(1, 2, 3))
    cache.flush()
    assert allocator.num_free == 32


def test_a_disabled_cache_keeps_nothing():
    allocator = SlotAllocator(8)
    cache = RadixCache(allocator, enabled=False)
    slots = cache.alloc(3)
    assert cache.insert(ids(1, 2, 3), slots) == 0
    assert len(cache.match(ids(1, 2, 3)).slots) == 0


def test_freeing_more_than_was_taken_is_an_error():
    allocator = SlotAllocator(4)
    with pytest.raises(RuntimeError, match="1 slots freed"):
        allocator.free(ids(0))


SEQUENCES = st.lists(
    st.tuples(
        st.sampled_from(["store", "match", "lock", "unlock", "alloc"]),
        st.lists(st.integers(0, 2), min_size=1, max_size=8),
        st.sampled_from(["", "a"]),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(SEQUENCES)
def test_any_history_keeps_the_tree_and_pool_whole(history):
    """Model: what was stored and not evicted is found, slot by slot, and nothing is lost."""
    cache, allocator = make_cache(24)
    owner: dict[int, tuple[str, tuple[int, ...]]] = {}
    locked = []
    for op, tokens, namespace in history:
        key = ids(*tokens)
        if op == "store" and cache.available >= len(key):
            slots = cache.alloc(len(key))
            present = cache.insert(key, slots, namespace)
            for i in range(present, len(key)):
                owner[int(slots[i])] = (namespace, tuple(tokens[: i + 1]))
            cache.free(slots[:present])
        elif op == "match":
            for i, slot in enumerate(cache.match(key, namespace).slots):
                assert owner[int(slot)] == (namespace, tuple(tokens[: i + 1]))
        elif op == "lock":
            match = cache.match(key, namespace)
            cache.lock(match.node)
            locked.append((match.node, key[: len(match.slots)], namespace))
        elif op == "unlock" and locked:
            cache.unlock(locked.pop()[0])
        elif op == "alloc" and cache.available >= len(key):
            cache.free(cache.alloc(len(key)))
        in_tree = sum(len(n.slots) for n in cache.nodes())
        assert in_tree == cache.size == 24 - allocator.num_free
        assert cache.evictable == sum(len(n.slots) for n in cache.nodes() if not n.locks)
        for _, prefix, space in locked:
            assert len(cache.match(prefix, space).slots) == len(prefix)
    for node, _, _ in locked:
        cache.unlock(node)
    cache.flush()
    assert allocator.num_free == 24 and sorted(allocator.free_slots()) == list(range(24))
