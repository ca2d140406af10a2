"""The bits of a token's attention depend on its position and its sequence alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from attention_cases import Case, make_case, moved

from sglang.srt.kernels.cpu.kernels import CpuKernels

DTYPES = [torch.float32, torch.bfloat16]
OPTIONS: list[dict[str, Any]] = [{}, {"window": 100}, {"softcap": 5.0}]


def chunked(case: Case, kernels: CpuKernels, bounds: list[int], **options: Any) -> torch.Tensor:
    """The prompt of a one-sequence case, processed in chunks [bounds[i], bounds[i + 1])."""
    outputs = []
    for begin, end in pairwise(bounds):
        part = Case(
            case.q[begin:end],
            case.cache,
            [case.slot_rows[0][:end]],
            [end - begin],
        )
        outputs.append(part.run(kernels, **options))
    return torch.cat(outputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("heads", [(4, 2), (7, 1)])
def test_whole_equals_chunks(
    kernels: CpuKernels, dtype: torch.dtype, options: dict[str, Any], heads: tuple[int, int]
) -> None:
    case = make_case([700], [700], num_heads=heads[0], num_kv_heads=heads[1], dtype=dtype)
    whole = case.run(kernels, **options)
    for bounds in ([0, 1, 64, 65, 200, 513, 700], [0, 333, 700], list(range(0, 701, 70))):
        assert torch.equal(chunked(case, kernels, bounds, **options), whole)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS)
def test_whole_equals_token_by_token(
    kernels: CpuKernels, dtype: torch.dtype, options: dict[str, Any]
) -> None:
    case = make_case([560], [560], head_dim=40, dtype=dtype)
    whole = case.run(kernels, **options)
    assert torch.equal(chunked(case, kernels, list(range(561)), **options), whole)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alone_equals_in_a_batch(kernels: CpuKernels, dtype: torch.dtype) -> None:
    q_lens, kv_lens = [1, 1, 17, 80, 1, 1], [2000, 3, 600, 80, 700, 64]
    case = make_case(q_lens, kv_lens, dtype=dtype)
    batch = case.run(kernels).split(q_lens)
    queries = case.q.split(q_lens)
    for b, q_len in enumerate(q_lens):
        alone = Case(queries[b], case.cache, [case.slot_rows[b]], [q_len])
        assert torch.equal(alone.run(kernels), batch[b])


def with_common_beginning(case: Case, shared: list[int]) -> Case:
    """Sequence b reads its first ``shared[b]`` positions from the slots of sequence 0."""
    first = case.slot_rows[0]
    rows = [
        torch.cat([first[:count], row[count:]])
        for row, count in zip(case.slot_rows, shared, strict=True)
    ]
    return Case(case.q, case.cache, rows, case.q_lens)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("heads", [(4, 2), (18, 6), (7, 1)])
def test_alone_equals_beside_others_with_the_same_beginning(
    kernels: CpuKernels,
    dtype: torch.dtype,
    options: dict[str, Any],
    heads: tuple[int, int],
    many_threads: int,
) -> None:
    kv_lens = [1300, 1025, 1100, 600, 1600, 513, 512, 1024, 1400]
    q_lens = [1, 1, 1, 1, 1, 1, 1, 1, 30]
    shared = [0, 1024, 700, 600, 1290, 512, 511, 0, 1100]
    case = make_case(
        q_lens, kv_lens, num_heads=heads[0], num_kv_heads=heads[1], head_dim=40, dtype=dtype
    )
    case = with_common_beginning(case, shared)
    batch = case.run(kernels, **options).split(q_lens)
    queries = case.q.split(q_lens)
    for b, q_len in enumerate(q_lens):
        alone = Case(queries[b], case.cache, [case.slot_rows[b]], [q_len])
        assert torch.equal(alone.run(kernels, **options), batch[b])


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_with_beginnings_of_their_own(kernels: CpuKernels, dtype: torch.dtype) -> None:
    case = make_case([1] * 40, [530 + b for b in range(40)], num_heads=2, dtype=dtype)
    rows = [
        torch.cat([case.slot_rows[b % 3][:512], row[512:]]) for b, row in enumerate(case.slot_rows)
    ]
    case = Case(case.q, case.cache, rows, case.q_lens)
    batch = case.run(kernels)
    for b in range(40):
        alone = Case(case.q[b : b + 1], case.cache, [rows[b]], [1])
        assert torch.equal(alone.run(kernels)[0], batch[b])


@pytest.mark.parametrize("dtype", DTYPES)
def test_slots_do_not_matter(kernels: CpuKernels, dtype: torch.dtype) -> None:
    case = make_case([50], [700], dtype=dtype)
    order = case.slot_rows[0].long()
    slots = torch.arange(700, dtype=torch.int32)
    other = Case(case.q, moved(case.cache, order), [slots], [50])
    assert torch.equal(case.run(kernels), other.run(kernels))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS)
def test_threads_do_not_matter(
    kernels: CpuKernels, dtype: torch.dtype, options: dict[str, Any], many_threads: int
) -> None:
    case = make_case([1, 3, 100], [3000, 1100, 150], num_kv_heads=1, dtype=dtype)
    split = case.run(kernels, **options)
    torch.set_num_threads(1)
    assert torch.equal(case.run(kernels, **options), split)
