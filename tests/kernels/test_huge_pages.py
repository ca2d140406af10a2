"""Memory in huge pages."""

from __future__ import annotations

import torch

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
