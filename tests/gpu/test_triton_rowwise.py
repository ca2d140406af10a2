"""Norms, activations, best and forbidden tokens: Triton against the reference, row by row."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.gpu.triton_kernels import DEVICE, REFERENCE, TRITON, close, randn

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_dtype
@pytest.mark.parametrize("width", [1, 7, 64, 1025])
@pytest.mark.parametrize("operation", ["rms_norm", "layer_norm"])
def test_norms_of_strided_rows(dtype: torch.dtype, width: int, operation: str) -> None:
    x, weight = randn(3, width + 9, dtype=dtype)[:, 4 : width + 4], randn(width, seed=1)
    rest: Any = (weight.to(dtype), 1e-5) if operation == "rms_norm" else (weight, weight, 1e-5)
    close(getattr(TRITON, operation)(x, *rest), getattr(REFERENCE, operation)(x, *rest))


@every_dtype
@pytest.mark.parametrize("operation", ["add_rms_norm", "add_layer_norm"])
def test_a_norm_of_a_scaled_sum_updates_the_residual(dtype: torch.dtype, operation: str) -> None:
    x, weight = randn(5, 100, dtype=dtype), randn(100, dtype=dtype, seed=1)
    bias = (None,) if operation == "add_layer_norm" else ()
    results = []
    for kernels in (TRITON, REFERENCE):
        residual = randn(5, 100, dtype=dtype, seed=2)
        normed = getattr(kernels, operation)(x, residual, weight, *bias, 1e-3, 0.22)
        results.append((normed, residual))
    for found, expected in zip(*results, strict=True):
        close(found, expected)


@every_dtype
@pytest.mark.parametrize("centered", [False, True])
def test_norm_of_groups_touches_nothing_beside_them(dtype: torch.dtype, centered: bool) -> None:
    ours, theirs = (randn(4, 3 * 31 + 9, dtype=dtype) for _ in range(2))
    weight = randn(3, 31, dtype=dtype, seed=1)
    for kernels, x in ((TRITON, ours), (REFERENCE, theirs)):
        kernels.norm_groups(x[:, 5:-4], weight, 1e-5, centered=centered)
    close(ours, theirs)


def test_norm_of_groups_refuses_weights_of_another_width() -> None:
    with pytest.raises(ValueError, match="weight must be contiguous"):
        TRITON.norm_groups(randn(2, 12), randn(2, 5), 1e-5, centered=False)


@every_dtype
@pytest.mark.parametrize("width", [1, 31, 1025])
def test_activations(dtype: torch.dtype, width: int) -> None:
    x = 3 * randn(4, 2 * width + 3, dtype=dtype)[:, 1:-2]
    close(TRITON.silu_and_mul(x), REFERENCE.silu_and_mul(x))
    for exact in (False, True):
        close(TRITON.gelu_and_mul(x, exact=exact), REFERENCE.gelu_and_mul(x, exact=exact))
        close(TRITON.gelu(x, exact=exact), REFERENCE.gelu(x, exact=exact))


@every_dtype
def test_clamped_swiglu(dtype: torch.dtype) -> None:
    x = 3 * randn(4, 2 * 31 + 3, dtype=dtype)[:, 1:-2]
    x[0, 5] = x[1, 40] = torch.nan
    close(TRITON.clamped_swiglu(x, 1.5), REFERENCE.clamped_swiglu(x, 1.5))


@every_dtype
@pytest.mark.parametrize("width", [3, 1025])
def test_rows_are_scaled_and_added(dtype: torch.dtype, width: int) -> None:
    positions, table = torch.tensor([2, 0, 7], dtype=torch.int32, device=DEVICE), randn(8)
    gate, x = randn(3, 1, seed=3), randn(3, width, dtype=dtype, seed=2)
    results = []
    for kernels in (TRITON, REFERENCE):
        wide = randn(3, width + 4, dtype=dtype)
        kernels.scale_rows(wide[:, 1:-3], positions, table)
        kernels.add_gated(x, gate, wide[:, 1:-3])
        results.append(wide)
    close(*results)


def test_a_gate_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gate must be contiguous float32 \[3, 1\]"):
        TRITON.add_gated(randn(3, 5), randn(3), randn(3, 5))


def test_activations_of_large_values() -> None:
    gate = torch.tensor([[-1e30, -200.0, -9.0, 0.0, 9.0, 200.0, 1e30, torch.nan]], device=DEVICE)
    x = torch.cat((gate, torch.ones_like(gate)), dim=1)
    close(TRITON.silu_and_mul(x), REFERENCE.silu_and_mul(x))
    for exact in (False, True):
        close(TRITON.gelu(gate, exact=exact), REFERENCE.gelu(gate, exact=exact))


@pytest.mark.parametrize("columns", [1, 17, 4096, 9001])
def test_best_tokens(columns: int) -> None:
    x = randn(5, columns + 3, seed=columns)[:, 2:-1]
    for mine, expected in zip(TRITON.best_tokens(x), REFERENCE.best_tokens(x), strict=True):
        assert torch.equal(mine, expected)


def test_of_equal_values_the_first_wins_across_parts() -> None:
    x = torch.zeros(2, 9000, device=DEVICE)
    x[1, 4095] = x[1, 4096] = x[1, 8999] = 1.0
    assert TRITON.best_tokens(x)[1].tolist() == [0, 4095]


def test_a_nan_or_an_infinity_allows_no_choice() -> None:
    x = torch.full((4, 5000), -math.inf, device=DEVICE)
    x[1, 4999] = -5.0
    x[2, 600] = math.inf
    x[3] = 1.0
    x[3, 4200] = math.nan
    values, indices = TRITON.best_tokens(x)
    assert values[:3].tolist() == [-math.inf, -5.0, math.inf] and values[3].isnan()
    assert indices.tolist() == [-1, 4999, -1, -1]


@pytest.mark.parametrize("columns", [1, 32, 33, 5000])
def test_mask_tokens(columns: int) -> None:
    random = torch.Generator().manual_seed(columns)
    words = torch.randint(-(2**31), 2**31, (4, (columns + 31) // 32), generator=random)
    words[0], words[-1] = 0, -1
    bits, rows = words.to(DEVICE, torch.int32), torch.tensor([0, 2, 3, 6], device=DEVICE)
    ours, theirs = randn(7, columns), randn(7, columns)
    TRITON.mask_tokens(ours, rows, bits)
    REFERENCE.mask_tokens(theirs, rows, bits)
    assert torch.equal(ours, theirs)


def test_bits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"int32 \[1, 2\]"):
        TRITON.mask_tokens(
            randn(2, 33),
            torch.tensor([0], device=DEVICE),
            torch.zeros(1, 1, dtype=torch.int32, device=DEVICE),
        )


def test_operations_on_no_rows_are_no_work() -> None:
    nothing = randn(0, 32)
    assert TRITON.rms_norm(nothing, randn(32), 1e-5).shape == (0, 32)
    assert TRITON.silu_and_mul(nothing).shape == (0, 16)
    assert TRITON.best_tokens(nothing)[1].shape == (0,)
