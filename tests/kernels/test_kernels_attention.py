"""Paged ragged attention in C against the reference."""

from __future__ import annotations

import pytest
import torch
from attention_cases import Case, make_case

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]


def check(kernels: CpuKernels, case: Case, *, window: int = 0, softcap: float = 0.0) -> None:
    actual = case.run(kernels, window=window, softcap=softcap)
    expected = case.run(REFERENCE, window=window, softcap=softcap)
    tolerance = 2e-5 if case.q.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heads", [(2, 2), (4, 2), (7, 1), (16, 2), (6, 2), (71, 1)])
def test_grouped_heads(kernels: CpuKernels, dtype: torch.dtype, heads: tuple[int, int]) -> None:
    case = make_case(
        [1, 5, 40], [9, 70, 40], num_heads=heads[0], num_kv_heads=heads[1], dtype=dtype
    )
    check(kernels, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_dim", [8, 16, 24, 40, 56, 72, 80, 96, 128, 192, 256])
def test_head_dims(kernels: CpuKernels, dtype: torch.dtype, head_dim: int) -> None:
    check(kernels, make_case([1, 20], [90, 150], head_dim=head_dim, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_decode_lengths(kernels: CpuKernels, dtype: torch.dtype) -> None:
    kv_lens = [1, 2, 15, 16, 17, 63, 64, 65, 128, 511, 512, 513, 1500]
    check(kernels, make_case([1] * len(kv_lens), kv_lens, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_extend_over_cached_part(kernels: CpuKernels, dtype: torch.dtype) -> None:
    cases = [(2, 0), (63, 0), (65, 0), (200, 0), (3, 61), (100, 30), (130, 1000), (40, 490)]
    q_lens = [q_len for q_len, _ in cases]
    check(kernels, make_case(q_lens, [q_len + cached for q_len, cached in cases], dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [1, 5, 64, 100, 700])
def test_window(kernels: CpuKernels, dtype: torch.dtype, window: int) -> None:
    check(kernels, make_case([1, 90, 1], [1200, 650, 3], dtype=dtype), window=window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [0, 30])
def test_softcap(kernels: CpuKernels, dtype: torch.dtype, window: int) -> None:
    case = make_case([1, 40], [600, 90], dtype=dtype)
    case.q.mul_(20)
    check(kernels, case, softcap=3.0, window=window)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sequence_without_queries(kernels: CpuKernels, dtype: torch.dtype) -> None:
    check(kernels, make_case([2, 0, 1], [5, 9, 70], dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_sequences_on_many_threads(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    check(kernels, make_case([1, 2], [5000, 700], num_heads=4, num_kv_heads=1, dtype=dtype))


def test_large_scores_do_not_overflow(kernels: CpuKernels) -> None:
    case = make_case([1, 70], [800, 70])
    case.q.mul_(1000)  # scores of thousands: a weight's error is the score's rounding error
    actual, expected = case.run(kernels), case.run(REFERENCE)
    torch.testing.assert_close(actual, expected, rtol=5e-3, atol=5e-3)


def test_tokens_outside_window_are_not_read(kernels: CpuKernels) -> None:
    case = make_case([1], [300])
    for cache in (case.cache.k, case.cache.v):
        cache[case.slot_rows[0][:290].long()] = torch.nan
    assert case.run(kernels, window=10).isfinite().all()


def test_other_dtypes_and_head_sizes_use_the_reference(kernels: CpuKernels) -> None:
    for case in (
        make_case([3], [9], dtype=torch.float16),
        make_case([3], [9], head_dim=20),
        make_case([3], [9], dtype=torch.float64),
    ):
        assert torch.equal(case.run(kernels), case.run(REFERENCE))


def test_refuses_cache_of_another_shape(kernels: CpuKernels) -> None:
    case = make_case([3], [9], head_dim=64)
    case.cache = KVCache(case.cache.k[..., :32], case.cache.v)
    with pytest.raises(ValueError, match="k of the cache must be contiguous"):
        case.run(kernels)
