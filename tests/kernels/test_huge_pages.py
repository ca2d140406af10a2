"""Memory in huge pages."""

from __future__ import annotations

import torch

from sglang.srt.kernels.cpu.commit import commit_beside
from sglang.srt.kernels.cpu.huge_pages import CHUNK, HugePages


def test_tensors_have_their_shape_and_can_be_written():
    pages = HugePages()
    tensor = pages.empty((3, 5), torch.bfloat16)
    tensor.fill_(2)
    assert tensor.shape == (3, 5) and tensor.sum() == 30


def test_tensors_of_one_chunk_do_not_overlap():
    pages = HugePages()
    tensors = [pages.empty((size,), torch.float32) for size in (1, 17, 1000, 3)]
    for number, tensor in enumerate(tensors):
        tensor.fill_(number)
    assert all(bool((tensor == number).all()) for number, tensor in enumerate(tensors))


def test_addresses_are_aligned_to_cache_lines():
    pages = HugePages()
    assert all(pages.empty((size,), torch.uint8).data_ptr() % 64 == 0 for size in (1, 65, 7))


def test_large_tensors_begin_at_a_huge_page():
    large = HugePages().empty((CHUNK,), torch.uint8)
    assert large.data_ptr() % (2 << 20) == 0 and len(large) == CHUNK


def test_a_tensor_outlives_its_allocator():
    tensor = HugePages().empty((1000,), torch.int32).fill_(7)
    HugePages().empty((1000,), torch.int32).fill_(8)
    assert bool((tensor == 7).all())


def test_an_empty_tensor_takes_no_memory():
    assert HugePages().empty((0, 8), torch.float32).shape == (0, 8)


def test_memory_that_was_given_is_used_first():
    memory = commit_beside(2 * CHUNK)
    pages = HugePages()
    pages.use_first(memory)
    tensors = [pages.empty((CHUNK // 4,), torch.uint8).fill_(i) for i in range(12)]
    inside = torch.frombuffer(memory, dtype=torch.uint8)
    begin, end = inside.data_ptr(), inside.data_ptr() + len(inside)
    assert [begin <= tensor.data_ptr() < end for tensor in tensors] == [True] * 8 + [False] * 4
    assert all(bool((tensor == i).all()) for i, tensor in enumerate(tensors))
