"""Norms and activation: C against the reference, row by row."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
WIDTHS = [1, 7, 31, 64, 100, 1025]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def randn(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_rms_norm(kernels: CpuKernels, dtype: torch.dtype, width: int) -> None:
    x, weight = randn(5, width, dtype=dtype), randn(width, dtype=dtype, seed=1)
    close(kernels.rms_norm(x, weight, 1e-5), REFERENCE.rms_norm(x, weight, 1e-5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_add_rms_norm_returns_norm_of_sum(
    kernels: CpuKernels, dtype: torch.dtype, width: int
) -> None:
    x, weight = randn(5, width, dtype=dtype), randn(width, dtype=dtype, seed=1)
    ours, theirs = randn(5, width, dtype=dtype, seed=2), randn(5, width, dtype=dtype, seed=2)
    close(
        kernels.add_rms_norm(x, ours, weight, 1e-6), REFERENCE.add_rms_norm(x, theirs, weight, 1e-6)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_add_rms_norm_updates_residual(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x, residual = randn(70, 100, dtype=dtype), randn(70, 100, dtype=dtype, seed=1)
    expected = residual + x
    kernels.add_rms_norm(x, residual, torch.ones(100, dtype=dtype), 1e-6)
    assert torch.equal(residual, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm_takes_strided_rows(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x, weight = randn(5, 200, dtype=dtype)[:, 10:83], randn(73, dtype=dtype, seed=1)
    close(kernels.rms_norm(x, weight, 1e-5), REFERENCE.rms_norm(x, weight, 1e-5))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rms_norm_of_a_row_does_not_depend_on_the_batch(
    kernels: CpuKernels, dtype: torch.dtype
) -> None:
    x, weight = randn(300, 576, dtype=dtype), randn(576, dtype=dtype, seed=1)
    whole = kernels.rms_norm(x, weight, 1e-5)
    alone = torch.cat([kernels.rms_norm(row.unsqueeze(0), weight, 1e-5) for row in x])
    assert torch.equal(whole, alone)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_silu_and_mul(kernels: CpuKernels, dtype: torch.dtype, width: int) -> None:
    x = 4 * randn(9, 2 * width, dtype=dtype)
    close(kernels.silu_and_mul(x), REFERENCE.silu_and_mul(x))


def test_silu_of_large_values(kernels: CpuKernels) -> None:
    gate = torch.tensor([[-1e30, -200.0, -90.0, -1.0, 0.0, 1.0, 90.0, 200.0, 1e30, torch.nan]])
    x = torch.cat((gate, torch.ones_like(gate)), dim=1)
    torch.testing.assert_close(
        kernels.silu_and_mul(x), REFERENCE.silu_and_mul(x), rtol=1e-5, atol=1e-6, equal_nan=True
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_silu_of_a_row_does_not_depend_on_the_batch(
    kernels: CpuKernels, dtype: torch.dtype
) -> None:
    x = randn(300, 2 * 150, dtype=dtype)
    alone = torch.cat([kernels.silu_and_mul(row.unsqueeze(0)) for row in x])
    assert torch.equal(kernels.silu_and_mul(x), alone)
