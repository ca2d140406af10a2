"""Latent attention: rows, absorbed weights and attention, Triton against the reference."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels import TritonSettings
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KVCache, latent_cache, read_kv, write_latent
from tests.gpu.triton_kernels import DEVICE, REFERENCE, TRITON, close, randn, with_settings
from tests.kernels.attention_cases import Case, make_cache

SLOTS = torch.tensor([2, 19, 7, 11], device=DEVICE)


def make_latent(num_slots: int, row_dim: int, value_dim: int, dtype: torch.dtype) -> KVCache:
    """All NaN: what is read without having been written shows."""
    cache = make_cache(num_slots, 1, row_dim, dtype)
    scale = None if cache.k_scale is None else cache.k_scale.to(DEVICE)
    return latent_cache(cache.k.to(DEVICE), value_dim, scale)


# ------------------------------------------------------------------- attention


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
    total = sum(kv_lens)
    slots = torch.randperm(total + 17, generator=torch.Generator().manual_seed(0))[:total].int()
    cache = make_latent(total + 17, row_dim, value_dim, kv_dtype or dtype)
    write_latent(cache, slots.long().to(DEVICE), randn(total, 1, row_dim, dtype=dtype, seed=1))
    q = randn(sum(q_lens), num_heads, row_dim, dtype=dtype)
    return Case(q, cache, list(slots.split(kv_lens)), q_lens)


def check(case: Case, kernels: Kernels = TRITON) -> None:
    found = case.run(kernels)
    assert found.shape == (len(case.q), case.q.shape[1] * case.cache.v.shape[2])
    close(found, case.run(REFERENCE))


@pytest.mark.parametrize("num_heads", [1, 13, 40, 130])
def test_heads_attend_to_the_rows(num_heads: int) -> None:
    check(make_case([1, 5, 0, 20], [9, 70, 3, 20], num_heads=num_heads, dtype=torch.bfloat16))


def test_tall_tiles_where_there_is_much_shared_memory() -> None:
    kernels = with_settings(TritonSettings(shared_memory=227 << 10))
    sizes = {"num_heads": 66, "row_dim": 264, "value_dim": 256}
    check(make_case([1, 3], [20, 40], dtype=torch.bfloat16, **sizes), kernels)


@pytest.mark.parametrize(
    ("row_dim", "value_dim", "dtype"),
    [
        (24, 16, torch.float32),
        (288, 256, torch.float32),
        (576, 512, torch.float32),
        (576, 512, torch.bfloat16),
    ],
)
def test_row_sizes(row_dim: int, value_dim: int, dtype: torch.dtype) -> None:
    check(
        make_case([1, 6], [40, 50], num_heads=16, row_dim=row_dim, value_dim=value_dim, dtype=dtype)
    )


@pytest.mark.parametrize("kv_dtype", [torch.float8_e5m2, torch.int8], ids=str)
def test_rows_of_bytes_are_read(kv_dtype: torch.dtype) -> None:
    check(make_case([1, 9], [140, 30], dtype=torch.bfloat16, kv_dtype=kv_dtype))


def test_parts_of_the_keys() -> None:
    check(make_case([1, 1], [400, 5]), with_settings(TritonSettings(3, True)))


def test_a_row_of_no_numbers_shows() -> None:
    case = make_case([1, 3], [40, 9])
    case.cache.k[case.slot_rows[0][7].long(), 0, -1] = torch.nan
    out = case.run(TRITON)
    assert out[0].isnan().all() and out[1:].isfinite().all()


# ------------------------------------------------------------------------ rows


def write(
    kernels: Kernels,
    q: torch.Tensor,
    row: torch.Tensor,
    cache: KVCache,
    *,
    rotary_dim: int,
    interleaved: bool = False,
) -> torch.Tensor:
    """The rotated queries of 11 heads; the rows go to SLOTS."""
    angles, mine = randn(20, rotary_dim // 2, seed=1), q.clone()
    kernels.rope_and_write_latent(
        mine,
        row,
        torch.arange(len(q), dtype=torch.int32, device=DEVICE) * 3,
        torch.cat((angles.cos(), angles.sin()), dim=1),
        cache,
        SLOTS.int(),
        num_heads=11,
        norm=randn(row.shape[1] - rotary_dim, seed=3),
        norm_eps=1e-6,
        interleaved=interleaved,
    )
    return mine


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("head_dim", "latent_dim", "rotary_dim"), [(36, 40, 16), (17, 21, 6)])
def test_rows_are_normed_rotated_and_stored(
    dtype: torch.dtype, interleaved: bool, head_dim: int, latent_dim: int, rotary_dim: int
) -> None:
    fused = randn(4, 11 * head_dim + latent_dim + rotary_dim, dtype=dtype)
    q, row = fused[:, : 11 * head_dim], fused[:, 11 * head_dim :]
    found, expected = (make_latent(20, row.shape[1], latent_dim, dtype) for _ in range(2))
    close(
        write(TRITON, q, row, found, rotary_dim=rotary_dim, interleaved=interleaved),
        write(REFERENCE, q, row, expected, rotary_dim=rotary_dim, interleaved=interleaved),
    )
    close(found.k, expected.k)


def test_rows_of_bytes() -> None:
    q, row = randn(4, 11 * 36), randn(4, 56, seed=1)
    found, expected = (make_latent(20, 56, 40, torch.int8) for _ in range(2))
    write(TRITON, q, row, found, rotary_dim=16)
    write(REFERENCE, q, row, expected, rotary_dim=16)
    close(read_kv(found, SLOTS)[0], read_kv(expected, SLOTS)[0])


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="latent rows and cache must have 40 \\+ 16 columns"):
        cache = make_latent(20, 48, 40, torch.float32)
        write(TRITON, randn(4, 396), randn(4, 56), cache, rotary_dim=16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_heads_have_matrices_of_their_own(dtype: torch.dtype) -> None:
    packed = TRITON.pack_experts(iter(randn(3, 7, 10, dtype=dtype)), 3)
    x, beside = randn(4, 3 * 15, dtype=dtype).unflatten(1, (3, 15)).split([10, 5], dim=-1)
    for rest in (None, beside):
        close(TRITON.linear_heads(x, packed, rest), REFERENCE.linear_heads(x, packed, rest))
    assert TRITON.linear_heads(x[:0], packed, beside[:0]).shape == (0, 36)
