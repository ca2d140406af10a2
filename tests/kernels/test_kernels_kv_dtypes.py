"""Attention over a cache of 8-bit elements."""

from __future__ import annotations

import pytest
import torch
from attention_cases import Case, make_case
from test_kernels_invariance import chunked

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES, KVCache, read_kv
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
BYTES = list(KV_CACHE_DTYPES.values())

both = pytest.mark.parametrize("dtype", DTYPES)
every = pytest.mark.parametrize("kv_dtype", BYTES)


def check(kernels: CpuKernels, case: Case, *, window: int = 0, softcap: float = 0.0) -> None:
    actual = case.run(kernels, window=window, softcap=softcap)
    expected = case.run(REFERENCE, window=window, softcap=softcap)
    tolerance = 2e-5 if case.q.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@both
@every
@pytest.mark.parametrize("head_dim", [8, 40, 64, 80, 128])
def test_decode_and_extend(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, head_dim: int
) -> None:
    case = make_case(
        [1, 1, 3, 40], [1, 600, 70, 130], head_dim=head_dim, dtype=dtype, kv_dtype=kv_dtype
    )
    check(kernels, case)


@both
@every
@pytest.mark.parametrize("heads", [(3, 3), (9, 3), (8, 1), (14, 2)])
def test_grouped_heads(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, heads: tuple[int, int]
) -> None:
    case = make_case(
        [1, 30],
        [200, 90],
        num_heads=heads[0],
        num_kv_heads=heads[1],
        dtype=dtype,
        kv_dtype=kv_dtype,
    )
    check(kernels, case)


@both
@every
def test_window_and_softcap(kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype) -> None:
    case = make_case([1, 40], [700, 300], dtype=dtype, kv_dtype=kv_dtype)
    check(kernels, case, window=100)
    check(kernels, case, softcap=3.0)


@both
@every
def test_whole_equals_chunks(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype
) -> None:
    case = make_case([600], [600], dtype=dtype, kv_dtype=kv_dtype)
    whole = case.run(kernels)
    for bounds in ([0, 1, 64, 65, 200, 513, 600], list(range(0, 601, 4))):
        assert torch.equal(chunked(case, kernels, bounds), whole)


@both
@every
def test_threads_do_not_matter(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, many_threads: int
) -> None:
    case = make_case([1, 100], [3000, 150], num_kv_heads=1, dtype=dtype, kv_dtype=kv_dtype)
    split = case.run(kernels)
    torch.set_num_threads(1)
    assert torch.equal(case.run(kernels), split)


@pytest.mark.parametrize(
    ("kv_dtype", "error"),
    [(torch.int8, 0.01), (torch.float8_e4m3fn, 0.04), (torch.float8_e5m2, 0.08)],
)
def test_error_against_an_exact_cache(kv_dtype: torch.dtype, error: float) -> None:
    """Of the output of random attention, as a root mean square."""
    exact = make_case([1, 50], [400, 50]).run(REFERENCE)
    actual = make_case([1, 50], [400, 50], kv_dtype=kv_dtype).run(REFERENCE)
    assert (actual - exact).square().mean() < (error * exact.std()) ** 2


@every
def test_every_byte_has_its_value(kernels: CpuKernels, kv_dtype: torch.dtype) -> None:
    """The attention of a sequence of one token is its value."""
    case = make_case(
        [1], [1], num_kv_heads=1, head_dim=256, dtype=torch.bfloat16, kv_dtype=kv_dtype
    )
    slot = case.slot_rows[0].long()
    values = torch.arange(256, dtype=torch.uint8)
    case.cache.v.view(torch.uint8)[slot] = values
    _, v = read_kv(case.cache, slot)
    read = v[0, 0].isfinite()
    if kv_dtype == torch.int8:
        read[128] = False  # -128, which is never written
    case.cache.v.view(torch.uint8)[slot] = values.where(read, 0)
    actual = case.run(kernels).view(-1, 256)[0].float()
    torch.testing.assert_close(actual, v[0, 0].where(read, 0.0), rtol=1e-2, atol=0.0)


def test_int8_without_scales_is_refused(kernels: CpuKernels) -> None:
    case = make_case([1], [5], kv_dtype=torch.int8)
    case.cache = KVCache(case.cache.k, case.cache.v)
    with pytest.raises(ValueError, match="k_scale of an int8 cache must be contiguous float32"):
        case.run(kernels)
