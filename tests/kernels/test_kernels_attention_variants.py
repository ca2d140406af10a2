"""Slopes, sinks, chunks and block-sparse patterns of attention in C against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_cases import Case, make_case
from test_kernels_invariance import chunked

from sglang.srt.kernels.attention_variant import AttentionVariant, BlockSparsity, alibi_slopes
from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
BYTES = list(KV_CACHE_DTYPES.values())
Q_LENS, KV_LENS = [1, 1, 3, 130, 1, 40], [1, 700, 70, 130, 64, 1100]


def make_variant(name: str, num_heads: int) -> dict[str, Any]:
    """The options of ``Case.run`` called ``name``; several joined by a plus."""
    options: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for part in name.split("+"):
        if part == "slopes":
            parts["slopes"] = alibi_slopes(num_heads)
        elif part == "sinks":
            parts["sinks"] = torch.linspace(-9, 9, num_heads).flip(0)
        elif part.startswith("chunk"):
            parts["chunk"] = int(part[5:])
        elif part.startswith("sparse"):
            parts["sparsity"] = SPARSITIES[part]
        else:
            options[part] = {"window": 100, "softcap": 3.0}[part]
    return {**options, "variant": AttentionVariant(**parts)}


SPARSITIES = {
    "sparse": BlockSparsity(block_size=64, local_blocks=2, stride=4, head_step=1),
    "sparse-alike": BlockSparsity(block_size=64, local_blocks=3, stride=5),
    "sparse-large": BlockSparsity(block_size=128, local_blocks=1, stride=3, head_step=2),
    "sparse-never": BlockSparsity(block_size=64, local_blocks=1, stride=1000),
}
VARIANTS = [
    "slopes",
    "slopes+window",
    "slopes+softcap",
    "sinks",
    "sinks+window",
    "chunk1",
    "chunk7",
    "chunk64",
    "chunk100",
    "chunk700",
    "chunk100+window",
    *SPARSITIES,
    "slopes+sinks+chunk300+sparse",
]

both = pytest.mark.parametrize("dtype", DTYPES)
every = pytest.mark.parametrize("name", VARIANTS)


def check(kernels: CpuKernels, case: Case, name: str) -> None:
    options = make_variant(name, case.q.shape[1])
    actual, expected = case.run(kernels, **options), case.run(REFERENCE, **options)
    tolerance = 2e-5 if case.q.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@both
@every
def test_extend_and_decode(kernels: CpuKernels, dtype: torch.dtype, name: str) -> None:
    check(kernels, make_case(Q_LENS, KV_LENS, head_dim=40, dtype=dtype), name)


@both
@pytest.mark.parametrize("name", ["slopes", "sinks", "sparse"])
@pytest.mark.parametrize("heads", [(3, 3), (7, 1), (12, 2), (71, 1)])
def test_grouped_heads(
    kernels: CpuKernels, dtype: torch.dtype, name: str, heads: tuple[int, int]
) -> None:
    case = make_case(
        [1, 2, 30], [200, 90, 330], num_heads=heads[0], num_kv_heads=heads[1], dtype=dtype
    )
    check(kernels, case, name)


@both
@pytest.mark.parametrize("kv_dtype", BYTES)
@pytest.mark.parametrize("name", ["slopes+sinks+chunk100", "sparse"])
def test_small_elements(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, name: str
) -> None:
    case = make_case(Q_LENS, KV_LENS, dtype=dtype, kv_dtype=kv_dtype)
    check(kernels, case, name)


@both
@every
def test_whole_equals_chunks(kernels: CpuKernels, dtype: torch.dtype, name: str) -> None:
    case = make_case([700], [700], num_heads=3, num_kv_heads=1, dtype=dtype)
    options = make_variant(name, 3)
    whole = case.run(kernels, **options)
    for bounds in ([0, 1, 64, 65, 200, 513, 700], list(range(0, 701, 70)), list(range(0, 701, 4))):
        assert torch.equal(chunked(case, kernels, bounds, **options), whole)


@both
@every
def test_threads_do_not_matter(
    kernels: CpuKernels, dtype: torch.dtype, name: str, many_threads: int
) -> None:
    case = make_case([1, 3, 100], [3000, 1100, 150], num_kv_heads=1, dtype=dtype)
    options = make_variant(name, 4)
    split = case.run(kernels, **options)
    torch.set_num_threads(1)
    assert torch.equal(case.run(kernels, **options), split)


@both
def test_tokens_outside_chunk_are_not_read(kernels: CpuKernels, dtype: torch.dtype) -> None:
    case = make_case([3], [303], dtype=dtype)
    for cache in (case.cache.k, case.cache.v):
        cache[case.slot_rows[0][:300].long()] = torch.nan
    assert case.run(kernels, **make_variant("chunk100", 4)).isfinite().all()


@both
def test_sinks_take_their_share(kernels: CpuKernels, dtype: torch.dtype) -> None:
    """Beside one token of score 0 a sink of log 3 takes three quarters."""
    case = make_case([1], [1], dtype=dtype)
    case.q.zero_()
    sinks = torch.full((4,), 3.0).log()
    found = case.run(kernels, variant=AttentionVariant(sinks=sinks))
    torch.testing.assert_close(found, case.run(kernels) / 4, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("sink", [-1e4, -200.0, 200.0, 1e4])
def test_sinks_of_any_size(kernels: CpuKernels, sink: float) -> None:
    case = make_case([1, 70], [800, 70])
    options = {"variant": AttentionVariant(sinks=torch.full((4,), sink))}
    torch.testing.assert_close(case.run(kernels, **options), case.run(REFERENCE, **options))


def test_odd_blocks_use_the_reference(kernels: CpuKernels) -> None:
    sparsity = BlockSparsity(block_size=16, local_blocks=2, stride=3, head_step=1)
    case = make_case([3], [90])
    options = {"variant": AttentionVariant(sparsity=sparsity)}
    assert torch.equal(case.run(kernels, **options), case.run(REFERENCE, **options))


@pytest.mark.parametrize("name", ["slopes", "sinks"])
def test_refuses_numbers_of_other_heads(kernels: CpuKernels, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be contiguous float32 \[4\]"):
        make_case([3], [9]).run(kernels, **make_variant(name, 5))


def test_senseless_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BlockSparsity(block_size=64, local_blocks=0, stride=1)


@pytest.mark.parametrize(
    ("num_heads", "exponents"),
    [(1, [8]), (8, [1, 2, 3, 4, 5, 6, 7, 8]), (6, [2, 4, 6, 8, 1, 3])],
)
def test_slopes_of_alibi(num_heads: int, exponents: list[int]) -> None:
    assert alibi_slopes(num_heads).tolist() == [2.0**-exponent for exponent in exponents]
