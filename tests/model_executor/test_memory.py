"""How many KV slots a machine gets."""

from __future__ import annotations

import pytest

from sglang.srt.device import choose_device
from sglang.srt.model_executor.memory import choose_num_slots


def choose(**changes) -> int:
    arguments = {
        "free_bytes": 1000 * 2**20,
        "bytes_per_slot": 1024,
        "device_type": "cuda",
        "fraction": 0.5,
        "max_total_tokens": None,
        "context_length": 2048,
    }
    return choose_num_slots(**{**arguments, **changes})


def test_the_fraction_of_the_free_memory_is_used():
    assert choose() == 500 * 1024


def test_max_total_tokens_is_taken_as_it_is():
    assert choose(max_total_tokens=77) == 77


def test_more_tokens_than_memory_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"max-total-tokens 1048576 needs 1\.00 GiB.*0\.49 GiB"):
        choose(max_total_tokens=1 << 20)


def test_a_pool_without_room_for_a_sentence_is_refused():
    with pytest.raises(ValueError, match="room for 5 tokens only"):
        choose(free_bytes=10 * 1024)


def test_a_cpu_does_not_take_memory_that_it_has_no_use_for():
    assert choose(device_type="cpu", bytes_per_slot=8, context_length=1024) == 1 << 17


def test_a_cpu_holds_several_long_contexts():
    assert choose(device_type="cpu", bytes_per_slot=8, context_length=32768) == 16 * 32768


def test_the_memory_of_this_machine_is_known():
    memory = choose_device("cpu").memory()
    assert 0 < memory.free <= memory.total
