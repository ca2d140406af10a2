"""Packed matrix products in C against torch, and their independence of the batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.reference import ReferenceKernels

DTYPES = [torch.float32, torch.bfloat16]


def randn(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(actual: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> None:
    expected = F.linear(x.double(), weight.double(), bias.double()).to(actual.dtype)
    tolerance = 1e-4 if actual.dtype == torch.float32 else 1e-2
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 31, 32, 100])
@pytest.mark.parametrize("k", [1, 16, 33, 200])
def test_odd_shapes(kernels: CpuKernels, dtype: torch.dtype, n: int, k: int) -> None:
    weight, bias = randn(n, k, dtype=dtype), randn(n, dtype=dtype, seed=1)
    packed = kernels.pack_linear(weight)
    for m in (1, 2, 5, 12, 13, 25):
        x = randn(m, k, dtype=dtype, seed=m)
        close(kernels.linear(x, packed, bias), x, weight, bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_enough_for_threads(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    weight, bias = randn(700, 577, dtype=dtype), randn(700, dtype=dtype, seed=1)
    packed = kernels.pack_linear(weight)
    for m in (1, 150):
        x = randn(m, 577, dtype=dtype, seed=2)
        close(kernels.linear(x, packed, bias), x, weight, bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tall_input_of_few_columns(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    weight, bias = randn(40, 64, dtype=dtype), torch.zeros(40, dtype=dtype)
    x = randn(1001, 64, dtype=dtype, seed=1)
    close(kernels.linear(x, kernels.pack_linear(weight)), x, weight, bias)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [33, 256])
def test_row_does_not_depend_on_the_batch(kernels: CpuKernels, dtype: torch.dtype, k: int) -> None:
    packed = kernels.pack_linear(randn(300, k, dtype=dtype))
    x = randn(70, k, dtype=dtype, seed=1)
    alone = torch.cat([kernels.linear(row.unsqueeze(0), packed) for row in x])
    for m in range(2, 71):
        assert torch.equal(kernels.linear(x[:m], packed), alone[:m])


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_does_not_depend_on_the_threads(
    kernels: CpuKernels, dtype: torch.dtype, many_threads: int
) -> None:
    packed = kernels.pack_linear(randn(600, 300, dtype=dtype))
    x = randn(130, 300, dtype=dtype, seed=1)
    shared = kernels.linear(x, packed)
    torch.set_num_threads(1)
    assert torch.equal(kernels.linear(x, packed), shared)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_rows(kernels: CpuKernels, dtype: torch.dtype) -> None:
    weight, bias = randn(50, 47, dtype=dtype), torch.zeros(50, dtype=dtype)
    x = randn(9, 100, dtype=dtype, seed=1)[:, 3:50]
    close(kernels.linear(x, kernels.pack_linear(weight)), x, weight, bias)


def test_float32_output_of_bfloat16(kernels: CpuKernels) -> None:
    weight, bias = randn(50, 64, dtype=torch.bfloat16), torch.zeros(50, dtype=torch.bfloat16)
    x = randn(9, 64, dtype=torch.bfloat16, seed=1)
    out = kernels.linear(x, kernels.pack_linear(weight), out_dtype=torch.float32)
    assert out.dtype == torch.float32
    close(out, x, weight, bias)


def test_no_rows(kernels: CpuKernels) -> None:
    packed = kernels.pack_linear(randn(50, 64, dtype=torch.float32))
    assert kernels.linear(torch.empty(0, 64), packed).shape == (0, 50)


def test_other_dtypes_use_the_reference(kernels: CpuKernels) -> None:
    weight, x = randn(50, 64, dtype=torch.float64), randn(3, 64, dtype=torch.float64)
    out = kernels.linear(x, kernels.pack_linear(weight))
    assert torch.equal(out, F.linear(x, weight))


def test_refuses_activations_of_another_dtype(kernels: CpuKernels) -> None:
    packed = kernels.pack_linear(randn(50, 64, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"x must be \[T, 64\] of torch.bfloat16"):
        kernels.linear(torch.zeros(1, 64), packed)


def test_reference_linear() -> None:
    reference = ReferenceKernels()
    weight, bias, x = torch.randn(5, 3), torch.randn(5), torch.randn(2, 3)
    out = reference.linear(x, reference.pack_linear(weight), bias)
    assert torch.equal(out, F.linear(x, weight, bias))
