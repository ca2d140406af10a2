"""Paged ragged attention and the write to its cache: Triton against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sglang.srt.kernels import TritonSettings
from sglang.srt.kernels.attention_variant import AttentionVariant, BlockSparsity
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES, KVCache, read_kv
from tests.gpu.triton_kernels import (
    DEVICE,
    REFERENCE,
    TRITON,
    close,
    on_device,
    randn,
    with_settings,
)
from tests.kernels.attention_cases import Case, make_cache, make_case

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
BYTES = list(KV_CACHE_DTYPES.values())
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def check(q_lens: list[int], kv_lens: list[int], **options: Any) -> None:
    attention = {key: options.pop(key) for key in ("window", "softcap") if key in options}
    case = on_device(make_case(q_lens, kv_lens, **options))
    close(case.run(TRITON, **attention), case.run(REFERENCE, **attention))


@every_dtype
@pytest.mark.parametrize("heads", [(2, 2), (7, 1), (6, 2)])
def test_grouped_heads_in_a_mixed_batch(dtype: torch.dtype, heads: tuple[int, int]) -> None:
    num_heads, num_kv_heads = heads
    check([1, 5, 40], [9, 70, 40], num_heads=num_heads, num_kv_heads=num_kv_heads, dtype=dtype)


@pytest.mark.parametrize("head_dim", [8, 40, 80, 128, 192, 256])
def test_head_dims(head_dim: int) -> None:
    check([1, 20], [90, 50], head_dim=head_dim, num_kv_heads=1)


def test_decode_of_many_lengths() -> None:
    kv_lens = [1, 64, 65, 129, 600]
    check([1] * len(kv_lens), kv_lens, dtype=torch.bfloat16)


def test_extend_over_cached_parts_with_an_empty_sequence() -> None:
    q_lens, cached = [3, 0, 65, 1, 130], [61, 9, 30, 400, 0]
    check(q_lens, [q + c for q, c in zip(q_lens, cached, strict=True)])


@pytest.mark.parametrize("window", [1, 64, 700])
def test_window(window: int) -> None:
    check([1, 60, 1], [900, 260, 3], window=window)


@pytest.mark.parametrize("window", [0, 30])
def test_softcap(window: int) -> None:
    check([1, 40], [300, 90], softcap=3.0, window=window)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kv_dtype", BYTES, ids=str)
def test_caches_of_bytes(dtype: torch.dtype, kv_dtype: torch.dtype) -> None:
    check([1, 1, 30], [1, 300, 90], head_dim=40, dtype=dtype, kv_dtype=kv_dtype)


@pytest.mark.parametrize("in_fp32", [False, True])
@pytest.mark.parametrize("splits", [1, 3])
def test_parts_of_the_keys(splits: int, in_fp32: bool) -> None:
    case = on_device(make_case([1, 1, 1], [5, 130, 1000], dtype=torch.float16))
    expected = case.run(REFERENCE)
    close(case.run(with_settings(TritonSettings(splits, in_fp32))), expected)


def test_a_decode_does_not_depend_on_the_company() -> None:
    case = on_device(make_case([1, 1, 1], [500, 3, 140], dtype=torch.bfloat16))
    together = case.run(TRITON)
    for b, row in enumerate(case.slot_rows):
        alone = Case(case.q[b : b + 1], case.cache, [row], [1])
        assert torch.equal(alone.run(TRITON)[0], together[b])


def test_large_scores_do_not_overflow() -> None:
    case = on_device(make_case([1, 70], [300, 70]))
    case.q.mul_(1000)
    close(case.run(TRITON), case.run(REFERENCE), factor=250)


def test_what_lies_before_the_window_is_not_read() -> None:
    case = on_device(make_case([1, 3], [300, 90]))
    for cache in (case.cache.k, case.cache.v):
        cache[case.slot_rows[0][:290].long()] = torch.nan
        cache[case.slot_rows[1][:78].long()] = torch.nan
    assert case.run(TRITON, window=10).isfinite().all()


def test_a_nan_shows() -> None:
    case = on_device(make_case([1, 3], [300, 90]))
    case.cache.k[case.slot_rows[0][7].long()] = torch.nan
    out = case.run(TRITON)
    assert out[0].isnan().all() and out[1:].isfinite().all()


@pytest.mark.parametrize(
    ("name", "softcap"),
    [("chunk", 0.0), ("slopes", 0.0), ("slopes", 5.0), ("sinks", 0.0), ("sparsity", 0.0)],
)
def test_variants(name: str, softcap: float) -> None:
    values: dict[str, Any] = {
        "chunk": 7,
        "slopes": randn(4, seed=5).abs() / 9,
        "sinks": 3 * randn(4, seed=6),
        "sparsity": BlockSparsity(4, 2, 3),
    }
    variant = AttentionVariant(**{name: values[name]})
    # Decoding from one part and from several, and a prompt.
    for q_lens, kv_lens in (([1, 1], [9, 100]), ([1, 1, 20], [9, 300, 50])):
        case = on_device(make_case(q_lens, kv_lens))
        found = case.run(TRITON, variant=variant, softcap=softcap)
        close(found, case.run(REFERENCE, variant=variant, softcap=softcap))


def test_a_window_within_chunks() -> None:
    case, variant = on_device(make_case([1, 20], [300, 50])), AttentionVariant(chunk=11)
    found = case.run(TRITON, variant=variant, window=8)
    close(found, case.run(REFERENCE, variant=variant, window=8))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="5 query heads are no multiple of 2"):
        on_device(make_case([1], [5], num_heads=5)).run(TRITON)


# ------------------------------------------------------------------ rotation and write

TOKENS, HEADS, KV_HEADS, SLOTS = 5, 3, 2, 20
OUT_SLOTS = torch.randperm(SLOTS, generator=torch.Generator().manual_seed(2))[:TOKENS].int()


def write(
    kernels: Kernels,
    qkv: torch.Tensor,
    kv_dtype: torch.dtype,
    *,
    rotary_dim: int | None = None,
    interleaved: bool = False,
    normed: bool = False,
) -> tuple[torch.Tensor, KVCache]:
    """The rotated queries, and the cache that was written."""
    head_dim = qkv.shape[1] // (HEADS + 2 * KV_HEADS)
    rotary_dim = head_dim if rotary_dim is None else rotary_dim
    angles = randn(100, rotary_dim // 2, seed=1)
    shown = on_device(Case(qkv, make_cache(SLOTS, KV_HEADS, head_dim, kv_dtype), [], []))
    mine = qkv.clone()
    kernels.rope_and_write_kv(
        mine,
        torch.arange(TOKENS, dtype=torch.int32, device=DEVICE) * 3,
        torch.cat((angles.cos(), angles.sin()), dim=1),
        shown.cache,
        OUT_SLOTS.to(DEVICE),
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=head_dim,
        q_norm=randn(head_dim, seed=3) if normed else None,
        k_norm=randn(head_dim, seed=4) if normed else None,
        norm_eps=1e-6,
        interleaved=interleaved,
    )
    return mine[:, : HEADS * head_dim], shown.cache


def fused(head_dim: int, dtype: torch.dtype) -> torch.Tensor:
    return randn(TOKENS, (HEADS + 2 * KV_HEADS) * head_dim, dtype=dtype)


@pytest.mark.parametrize(
    ("head_dim", "rotary_dim", "dtype"),
    [(64, 64, torch.bfloat16), (40, 10, torch.float32), (32, 0, torch.float32)],
)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("normed", [False, True])
def test_rope_and_write_kv(
    head_dim: int, rotary_dim: int, dtype: torch.dtype, interleaved: bool, normed: bool
) -> None:
    qkv, slots = fused(head_dim, dtype), OUT_SLOTS.long().to(DEVICE)
    (q, cache), (expected_q, expected) = (
        write(each, qkv, dtype, rotary_dim=rotary_dim, interleaved=interleaved, normed=normed)
        for each in (TRITON, REFERENCE)
    )
    close(q, expected_q)
    close(cache.k[slots], expected.k[slots])
    assert torch.equal(cache.v[slots], expected.v[slots])


@pytest.mark.parametrize("kv_dtype", BYTES, ids=str)
@pytest.mark.parametrize(("dtype", "rotary_dim"), [(torch.float32, 40), (torch.bfloat16, 12)])
def test_bytes_are_those_of_the_reference(
    dtype: torch.dtype, kv_dtype: torch.dtype, rotary_dim: int
) -> None:
    """But for what the interpreter makes of fp8 numbers: it rounds up to a power of two wrongly."""
    qkv, slots = fused(40, dtype), OUT_SLOTS.long().to(DEVICE)
    qkv[0, -40:] = 0
    (_, cache), (_, expected) = (
        write(each, qkv, kv_dtype, rotary_dim=rotary_dim) for each in (TRITON, REFERENCE)
    )
    for actual, wanted in ((cache.k, expected.k), (cache.v, expected.v)):
        codes = actual.view(torch.uint8)[slots].int()
        apart = (codes - wanted.view(torch.uint8)[slots].int()).abs()
        if DEVICE == "cpu" and kv_dtype != torch.int8:
            assert apart.max() <= 8 and (apart > 0).float().mean() < 0.1
        else:
            assert not apart.any()
    if cache.k_scale is not None and expected.k_scale is not None:
        close(cache.k_scale[slots], expected.k_scale[slots])


@pytest.mark.parametrize("kv_dtype", BYTES, ids=str)
def test_what_is_too_large_saturates_and_what_is_no_number_shows(kv_dtype: torch.dtype) -> None:
    qkv = fused(64, torch.float32)
    qkv[0, -1], qkv[1, -1], qkv[2, -1] = 1e30, -torch.inf, torch.nan
    _, cache = write(TRITON, qkv, kv_dtype)
    _, v = read_kv(cache, OUT_SLOTS.long().to(DEVICE))
    if kv_dtype == torch.int8:
        assert v[:, -1].isfinite().all(dim=1).tolist() == [True, False, False, True, True]
        return
    largest = torch.finfo(kv_dtype).max
    assert v[:2, -1, -1].tolist() == [largest, -largest]
    # The interpreter makes 384 of what is no number in e4m3.
    assert v[2, -1, -1].isnan() or (DEVICE == "cpu" and kv_dtype == torch.float8_e4m3fn)
