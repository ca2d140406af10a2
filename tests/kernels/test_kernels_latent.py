"""Multi-head latent attention in C against the reference: rows, absorbed weights, attention."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from attention_cases import Case, make_cache
from test_kernels_invariance import with_common_beginning

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import (
    KV_CACHE_DTYPES,
    KVCache,
    latent_cache,
    read_kv,
    write_latent,
)
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
BYTES = list(KV_CACHE_DTYPES.values())
both = pytest.mark.parametrize("dtype", DTYPES)


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_close(actual: torch.Tensor, expected: torch.Tensor, *, bytes_too: bool = False) -> None:
    tolerance = 2e-5 if actual.dtype == torch.float32 and not bytes_too else 2e-2
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def make_latent(num_slots: int, row_dim: int, value_dim: int, dtype: torch.dtype) -> KVCache:
    """All NaN: what is read without having been written shows."""
    cache = make_cache(num_slots, 1, row_dim, dtype)
    return latent_cache(cache.k, value_dim, cache.k_scale)


# ------------------------------------------------------------------- rows


def write(
    kernels: Kernels,
    q: torch.Tensor,
    row: torch.Tensor,
    cache: KVCache,
    *,
    rotary_dim: int,
    num_heads: int = 3,
    interleaved: bool = False,
    norm_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """The rotated queries; the rows go to slots 2, 7, 12 ... of ``cache``."""
    tokens, angles = len(q), randn(100, rotary_dim // 2, seed=1)
    mine = q.clone()
    kernels.rope_and_write_latent(
        mine,
        row,
        torch.arange(tokens, dtype=torch.int32) * 3,
        torch.cat((angles.cos(), angles.sin()), dim=1),
        cache,
        torch.arange(2, 2 + 5 * tokens, 5, dtype=torch.int32),
        num_heads=num_heads,
        norm=randn(row.shape[1] - rotary_dim, dtype=norm_dtype or q.dtype, seed=3),
        norm_eps=1e-6,
        interleaved=interleaved,
    )
    return mine


@both
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(
    ("head_dim", "latent_dim", "rotary_dim"), [(36, 40, 16), (17, 21, 6), (192, 512, 64), (8, 3, 8)]
)
def test_rows_are_normed_rotated_and_stored(
    kernels: CpuKernels,
    dtype: torch.dtype,
    interleaved: bool,
    head_dim: int,
    latent_dim: int,
    rotary_dim: int,
) -> None:
    fused = randn(9, 3 * head_dim + latent_dim + rotary_dim, dtype=dtype)
    q, row = fused[:, : 3 * head_dim], fused[:, 3 * head_dim :]
    found, expected = (make_latent(60, row.shape[1], latent_dim, dtype) for _ in range(2))
    options = {"rotary_dim": rotary_dim, "interleaved": interleaved}
    assert_close(
        write(kernels, q, row, found, **options), write(REFERENCE, q, row, expected, **options)
    )
    torch.testing.assert_close(found.k, expected.k, rtol=2e-2, atol=2e-2, equal_nan=True)


@both
@pytest.mark.parametrize("kv_dtype", BYTES)
def test_rows_of_bytes(kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype) -> None:
    q, row = randn(9, 3 * 36, dtype=dtype), randn(9, 56, dtype=dtype, seed=1)
    slots = torch.arange(2, 47, 5)
    found, expected = (make_latent(60, 56, 40, kv_dtype) for _ in range(2))
    write(kernels, q, row, found, rotary_dim=16)
    write(REFERENCE, q, row, expected, rotary_dim=16)
    step = 0.26 if kv_dtype == torch.float8_e5m2 else 0.13
    torch.testing.assert_close(
        read_kv(found, slots)[0], read_kv(expected, slots)[0], rtol=step, atol=0.05
    )


def test_norm_weights_may_be_float32(kernels: CpuKernels) -> None:
    q, row = randn(9, 3 * 36, dtype=torch.bfloat16), randn(9, 56, dtype=torch.bfloat16, seed=1)
    found, expected = (make_latent(60, 56, 40, torch.bfloat16) for _ in range(2))
    options = {"rotary_dim": 16, "norm_dtype": torch.float32}
    write(kernels, q, row, found, **options)
    write(REFERENCE, q, row, expected, **options)
    torch.testing.assert_close(found.k, expected.k, rtol=2e-2, atol=2e-2, equal_nan=True)


def test_other_dtypes_use_the_reference(kernels: CpuKernels) -> None:
    q, row = randn(9, 3 * 36, dtype=torch.float64), randn(9, 56, dtype=torch.float64, seed=1)
    found, expected = (make_latent(60, 56, 40, torch.float64) for _ in range(2))
    mine = write(kernels, q, row, found, rotary_dim=16)
    assert torch.equal(mine, write(REFERENCE, q, row, expected, rotary_dim=16))
    torch.testing.assert_close(found.k, expected.k, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("q_width", "row_width", "cache_width", "rotary_dim", "message"),
    [
        (107, 56, 56, 16, "q must be"),
        (108, 56, 48, 16, r"the cache must be contiguous \[S, 1, 56\]"),
        (108, 56, 56, 38, "the rotary dimension must be"),
        (108, 16, 16, 16, "the rotary dimension must be"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    kernels: CpuKernels,
    q_width: int,
    row_width: int,
    cache_width: int,
    rotary_dim: int,
    message: str,
) -> None:
    cache = make_latent(60, cache_width, 8, torch.float32)
    with pytest.raises(ValueError, match=message):
        write(kernels, randn(9, q_width), randn(9, row_width), cache, rotary_dim=rotary_dim)


# ------------------------------------------------------- absorbed weights


@both
@pytest.mark.parametrize(
    ("tokens", "heads", "n", "k", "rest"),
    [
        (1, 1, 1, 1, 0),
        (1, 5, 40, 20, 16),
        (7, 3, 33, 17, 5),
        (30, 2, 64, 128, 8),
        (100, 16, 37, 9, 0),
    ],
)
def test_linear_heads(
    kernels: CpuKernels, dtype: torch.dtype, tokens: int, heads: int, n: int, k: int, rest: int
) -> None:
    x = randn(tokens, heads, k + rest, dtype=dtype)
    weight = (randn(heads, n, k, seed=1) * k**-0.5).to(dtype)
    beside = x[..., k:] if rest else None
    found, expected = (
        some.linear_heads(x[..., :k], some.pack_experts(weight, heads), beside)
        for some in (kernels, REFERENCE)
    )
    assert_close(found, expected)
    if rest:
        assert torch.equal(found.view(tokens, heads, -1)[..., n:], x[..., k:])


@both
def test_linear_heads_on_many_threads(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    x, weight = randn(70, 3, 96, dtype=dtype), randn(3, 520, 96, dtype=dtype, seed=1) * 0.1
    found = kernels.linear_heads(x, kernels.pack_experts(weight, 3))
    assert_close(found, REFERENCE.linear_heads(x, REFERENCE.pack_experts(weight, 3)))


@both
def test_a_row_of_linear_heads_does_not_depend_on_the_others(
    kernels: CpuKernels, dtype: torch.dtype
) -> None:
    x = randn(40, 3, 50, dtype=dtype)
    packed = kernels.pack_experts(randn(3, 35, 50, dtype=dtype, seed=1), 3)
    whole = kernels.linear_heads(x, packed)
    for first, last in ((0, 1), (5, 7), (13, 40)):
        assert torch.equal(kernels.linear_heads(x[first:last], packed), whole[first:last])


def test_heads_of_another_shape_are_refused(kernels: CpuKernels) -> None:
    packed = kernels.pack_experts(randn(3, 35, 50), 3)
    with pytest.raises(ValueError, match=r"x must be \[T, 3, 50\]"):
        kernels.linear_heads(randn(4, 3, 49), packed)
    with pytest.raises(ValueError, match="beside must be"):
        kernels.linear_heads(randn(4, 3, 50), packed, randn(4, 2, 5))


# -------------------------------------------------------------- attention


def make_case(
    q_lens: list[int],
    kv_lens: list[int],
    *,
    num_heads: int = 5,
    row_dim: int = 56,
    value_dim: int = 40,
    dtype: torch.dtype = torch.float32,
    kv_dtype: torch.dtype | None = None,
) -> Case:
    generator = torch.Generator().manual_seed(0)
    total = sum(kv_lens)
    slots = torch.randperm(total + 17, generator=generator)[:total].int()
    cache = make_latent(total + 17, row_dim, value_dim, kv_dtype or dtype)
    rows = torch.randn(total, 1, row_dim, generator=generator).to(dtype)
    write_latent(cache, slots.long(), rows)
    q = torch.randn(sum(q_lens), num_heads, row_dim, generator=generator).to(dtype)
    return Case(q, cache, list(slots.split(kv_lens)), q_lens)


def check(kernels: CpuKernels, case: Case) -> None:
    actual, expected = case.run(kernels), case.run(REFERENCE)
    assert actual.shape == (len(case.q), case.q.shape[1] * case.cache.v.shape[2])
    assert_close(actual, expected)


@both
@pytest.mark.parametrize("num_heads", [1, 3, 12, 13, 40, 128])
def test_heads_attend_to_the_rows(kernels: CpuKernels, dtype: torch.dtype, num_heads: int) -> None:
    check(kernels, make_case([1, 5, 40], [9, 70, 40], num_heads=num_heads, dtype=dtype))


@both
@pytest.mark.parametrize(("row_dim", "value_dim"), [(16, 8), (24, 16), (288, 256), (576, 512)])
def test_row_sizes(kernels: CpuKernels, dtype: torch.dtype, row_dim: int, value_dim: int) -> None:
    case = make_case(
        [1, 20], [90, 150], num_heads=16, row_dim=row_dim, value_dim=value_dim, dtype=dtype
    )
    check(kernels, case)


@both
@pytest.mark.parametrize("kv_dtype", BYTES)
@pytest.mark.parametrize("num_heads", [3, 16])
def test_rows_of_bytes_are_read(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, num_heads: int
) -> None:
    check(
        kernels, make_case([1, 30], [600, 90], num_heads=num_heads, dtype=dtype, kv_dtype=kv_dtype)
    )


@both
def test_one_long_sequence_on_many_threads(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    check(kernels, make_case([1, 2], [5000, 700], num_heads=20, dtype=dtype))


@both
@pytest.mark.parametrize("num_heads", [16, 20, 47, 128])
@pytest.mark.parametrize("kv_dtype", [None, torch.int8])
def test_threads_that_divide_the_heads_change_nothing(
    kernels: CpuKernels, dtype: torch.dtype, num_heads: int, kv_dtype: torch.dtype | None
) -> None:
    case = make_case([1, 2], [300, 70], num_heads=num_heads, dtype=dtype, kv_dtype=kv_dtype)
    expected = case.run(kernels)
    check(kernels, case)
    torch.set_num_threads(7)
    assert torch.equal(case.run(kernels), expected)


@both
@pytest.mark.parametrize("num_heads", [3, 40])
def test_whole_equals_chunks(kernels: CpuKernels, dtype: torch.dtype, num_heads: int) -> None:
    case = make_case([700], [700], num_heads=num_heads, dtype=dtype)
    whole = case.run(kernels)
    for bounds in ([0, 1, 64, 65, 200, 513, 700], [0, 333, 700]):
        parts = [
            Case(case.q[begin:end], case.cache, [case.slot_rows[0][:end]], [end - begin])
            for begin, end in pairwise(bounds)
        ]
        assert torch.equal(torch.cat([part.run(kernels) for part in parts]), whole)


@both
def test_alone_equals_in_a_batch(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    q_lens, kv_lens = [1, 1, 17, 80], [2000, 3, 600, 80]
    case = make_case(q_lens, kv_lens, num_heads=17, dtype=dtype)
    batch = case.run(kernels).split(q_lens)
    for b, (queries, expected) in enumerate(zip(case.q.split(q_lens), batch, strict=True)):
        alone = Case(queries, case.cache, [case.slot_rows[b]], [q_lens[b]])
        assert torch.equal(alone.run(kernels), expected)


@both
@pytest.mark.parametrize("num_heads", [3, 16, 128])
def test_what_sequences_share_changes_nothing(
    kernels: CpuKernels, dtype: torch.dtype, num_heads: int
) -> None:
    case = make_case([1, 1, 1, 1], [1300, 1290, 600, 700], num_heads=num_heads, dtype=dtype)
    case = with_common_beginning(case, [0, 1290, 550, 513])
    batch = case.run(kernels).split(1)
    for b, (queries, expected) in enumerate(zip(case.q.split(1), batch, strict=True)):
        alone = Case(queries, case.cache, [case.slot_rows[b]], [1])
        assert torch.equal(alone.run(kernels), expected)
    check(kernels, case)
