"""Rotary embedding and the write to the KV cache: C against the reference."""

from __future__ import annotations

import pytest
import torch
from attention_cases import make_cache

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES, KVCache, read_kv
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
BYTES = list(KV_CACHE_DTYPES.values())
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
TOKENS, HEADS, KV_HEADS, SLOTS = 33, 3, 2, 50
OUT_SLOTS = torch.randperm(SLOTS, generator=torch.Generator().manual_seed(2))[:TOKENS].int()


def randn(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def run(
    kernels: Kernels,
    qkv: torch.Tensor,
    kv_dtype: torch.dtype,
    *,
    rotary_dim: int | None = None,
    interleaved: bool = False,
    normed: bool = False,
    norm_dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, KVCache]:
    """The rotated queries, and the cache that was written."""
    head_dim = qkv.shape[1] // (HEADS + 2 * KV_HEADS)
    rotary_dim = head_dim if rotary_dim is None else rotary_dim
    angles = randn(100, rotary_dim // 2, dtype=torch.float32, seed=1)
    cache, mine = make_cache(SLOTS, KV_HEADS, head_dim, kv_dtype), qkv.clone()
    kernels.rope_and_write_kv(
        mine,
        torch.arange(TOKENS, dtype=torch.int32) * 3,
        torch.cat((angles.cos(), angles.sin()), dim=1),
        cache,
        OUT_SLOTS,
        num_heads=HEADS,
        num_kv_heads=KV_HEADS,
        head_dim=head_dim,
        q_norm=randn(head_dim, dtype=norm_dtype or qkv.dtype, seed=3) if normed else None,
        k_norm=randn(head_dim, dtype=norm_dtype or qkv.dtype, seed=4) if normed else None,
        norm_eps=1e-6,
        interleaved=interleaved,
    )
    return mine[:, : HEADS * head_dim], cache


def fused(head_dim: int, dtype: torch.dtype) -> torch.Tensor:
    return randn(TOKENS, (HEADS + 2 * KV_HEADS) * head_dim, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("head_dim", "rotary_dim"), [(64, 64), (64, 32), (40, 40), (40, 10), (128, 0), (6, 6)]
)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("normed", [False, True])
def test_rope_and_write_kv(
    kernels: CpuKernels,
    dtype: torch.dtype,
    head_dim: int,
    rotary_dim: int,
    interleaved: bool,
    normed: bool,
) -> None:
    qkv, slots, tolerance = fused(head_dim, dtype), OUT_SLOTS.long(), TOLERANCE[dtype]
    (q, cache), (expected_q, expected) = (
        run(each, qkv, dtype, rotary_dim=rotary_dim, interleaved=interleaved, normed=normed)
        for each in (kernels, REFERENCE)
    )
    torch.testing.assert_close(q, expected_q, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(cache.k[slots], expected.k[slots], rtol=tolerance, atol=tolerance)
    assert torch.equal(cache.v[slots], expected.v[slots])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kv_dtype", BYTES)
@pytest.mark.parametrize("head_dim", [64, 40, 6])
def test_bytes_are_those_of_the_reference(
    kernels: CpuKernels, dtype: torch.dtype, kv_dtype: torch.dtype, head_dim: int
) -> None:
    qkv = fused(head_dim, dtype)
    qkv[0, -head_dim:] = 0  # a head of zeros
    qkv[1:3] *= 1e-3  # numbers below the smallest normal one of fp8
    (_, cache), (_, expected) = (run(each, qkv, kv_dtype) for each in (kernels, REFERENCE))
    slots = OUT_SLOTS.long()
    for actual, wanted in ((cache.k, expected.k), (cache.v, expected.v)):
        assert torch.equal(actual.view(torch.uint8)[slots], wanted.view(torch.uint8)[slots])
    for scales, wanted_scales in (
        (cache.k_scale, expected.k_scale),
        (cache.v_scale, expected.v_scale),
    ):
        if scales is not None and wanted_scales is not None:
            assert torch.equal(scales[slots], wanted_scales[slots])


@pytest.mark.parametrize("kv_dtype", [torch.float8_e5m2, torch.float8_e4m3fn])
def test_every_fp8_number_and_what_lies_between(kernels: CpuKernels, kv_dtype: torch.dtype) -> None:
    numbers = torch.arange(256, dtype=torch.uint8).view(kv_dtype).float()
    numbers = numbers[numbers.isfinite()].sort().values.unique()
    between = (numbers[1:] + numbers[:-1]) / 2
    values = torch.cat((numbers, between, between.nextafter(torch.tensor(1e9)), -between))
    head_dim = 40
    qkv = fused(head_dim, torch.float32)
    flat = qkv[:, -KV_HEADS * head_dim :]
    padded = torch.nn.functional.pad(values, (0, flat.numel() - len(values)))
    flat.copy_(padded.view_as(flat))
    _, cache = run(kernels, qkv, kv_dtype)
    written = cache.v.view(torch.uint8)[OUT_SLOTS.long()].flatten()
    expected = padded.to(kv_dtype).view(torch.uint8)
    assert torch.equal(written, expected)


@pytest.mark.parametrize("kv_dtype", [torch.float8_e5m2, torch.float8_e4m3fn])
def test_fp8_saturates(kernels: CpuKernels, kv_dtype: torch.dtype) -> None:
    qkv = fused(64, torch.float32)
    qkv[:, -3:] = torch.tensor([1e30, -torch.inf, torch.nan])
    _, cache = run(kernels, qkv, kv_dtype)
    _, v = read_kv(cache, OUT_SLOTS.long())
    largest = torch.finfo(kv_dtype).max
    assert (v[:, -1, -3] == largest).all() and (v[:, -1, -2] == -largest).all()
    assert v[:, -1, -1].isnan().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_int8_shows_what_is_not_finite(kernels: CpuKernels, bad: float) -> None:
    qkv = fused(64, torch.float32)
    qkv[5, -1] = bad
    _, cache = run(kernels, qkv, torch.int8)
    assert cache.v_scale is not None
    wrong = cache.v_scale[OUT_SLOTS.long()].isfinite().logical_not()
    assert wrong.nonzero().tolist() == [[5, KV_HEADS - 1]]


def test_int8_error_is_half_a_step(kernels: CpuKernels) -> None:
    qkv = fused(64, torch.float32)
    _, cache = run(kernels, qkv, torch.int8)
    v = qkv[:, -KV_HEADS * 64 :].view(TOKENS, KV_HEADS, 64)
    _, stored = read_kv(cache, OUT_SLOTS.long())
    step = v.abs().amax(dim=-1, keepdim=True) / 127
    assert ((stored - v).abs() <= 0.501 * step).all()


def test_norms_of_bfloat16_take_weights_of_float32(kernels: CpuKernels) -> None:
    qkv = fused(40, torch.bfloat16)
    results = [
        run(implementation, qkv, torch.bfloat16, normed=True, norm_dtype=torch.float32)
        for implementation in (kernels, REFERENCE)
    ]
    (q, cache), (expected_q, expected_cache) = results
    close = {"rtol": 1e-2, "atol": 1e-2}
    torch.testing.assert_close(q, expected_q, **close)
    torch.testing.assert_close(
        cache.k[OUT_SLOTS.long()], expected_cache.k[OUT_SLOTS.long()], **close
    )
