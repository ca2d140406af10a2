"""Norms, activations and lookups: C against the reference, row by row."""

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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_layer_norm(kernels: CpuKernels, dtype: torch.dtype, bias: bool, width: int) -> None:
    x, weight = 3 + randn(5, width, dtype=dtype), randn(width, dtype=dtype, seed=1)
    added = randn(width, dtype=dtype, seed=2) if bias else None
    close(kernels.layer_norm(x, weight, added, 1e-5), REFERENCE.layer_norm(x, weight, added, 1e-5))


def test_layer_norm_equals_torch(kernels: CpuKernels) -> None:
    x, weight, bias = (randn(*shape, dtype=torch.float32) for shape in ((5, 37), (37,), (37,)))
    expected = torch.nn.functional.layer_norm(x, (37,), weight, bias, 1e-5)
    close(kernels.layer_norm(x, weight, bias, 1e-5), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_far_from_zero_keeps_its_digits(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x = 64 * randn(5, 100, dtype=dtype) + 1000
    weight = torch.ones(100, dtype=dtype)
    close(kernels.layer_norm(x, weight, None, 1e-5), REFERENCE.layer_norm(x, weight, None, 1e-5))


@pytest.mark.parametrize("operation", ["add_rms_norm", "add_layer_norm"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_scaled_sum_and_its_norm(
    kernels: CpuKernels, dtype: torch.dtype, width: int, operation: str
) -> None:
    x, weight = randn(5, width, dtype=dtype), randn(width, dtype=dtype, seed=1)
    bias = (None,) if operation == "add_layer_norm" else ()
    results = []
    for implementation in (kernels, REFERENCE):
        residual = randn(5, width, dtype=dtype, seed=2)
        normed = getattr(implementation, operation)(x, residual, weight, *bias, 1e-3, 0.22)
        results.append((normed, residual))
    for found, expected in zip(*results, strict=True):
        close(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, -0.3])
def test_add_scaled(kernels: CpuKernels, dtype: torch.dtype, scale: float) -> None:
    x, residual = randn(70, 100, dtype=dtype), randn(70, 100, dtype=dtype, seed=1)
    expected = (residual.float() + scale * x.float()).to(dtype)
    kernels.add_scaled(x, residual, scale)
    close(residual, expected)


@pytest.mark.parametrize("operation", ["rms_norm", "layer_norm"])
def test_a_norm_of_bfloat16_takes_weights_of_float32(kernels: CpuKernels, operation: str) -> None:
    x, weight = randn(5, 100, dtype=torch.bfloat16), 1 + randn(100, dtype=torch.float32) / 300
    bias = (None,) if operation == "layer_norm" else ()
    found = getattr(kernels, operation)(x, weight, *bias, 1e-6)
    assert found.dtype == torch.bfloat16
    close(found, getattr(REFERENCE, operation)(x, weight, *bias, 1e-6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("width", [8, 31, 100])
def test_norm_of_groups_in_strided_rows(
    kernels: CpuKernels, dtype: torch.dtype, centered: bool, groups: int, width: int
) -> None:
    ours, theirs = (randn(7, groups * width + 9, dtype=dtype) for _ in range(2))
    weight = randn(groups, width, dtype=dtype, seed=1)
    for implementation, x in ((kernels, ours), (REFERENCE, theirs)):
        implementation.norm_groups(x[:, 5:-4], weight, 1e-5, centered=centered)
    close(ours, theirs)  # and nothing beside the groups was touched


def test_norm_of_groups_refuses_weights_of_another_width(kernels: CpuKernels) -> None:
    with pytest.raises(ValueError, match="weight must be contiguous"):
        kernels.norm_groups(torch.ones(2, 12), torch.ones(2, 5), 1e-5, centered=False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_gelu_with_and_without_a_gate(
    kernels: CpuKernels, dtype: torch.dtype, exact: bool, width: int
) -> None:
    x = 3 * randn(9, 2 * width, dtype=dtype)
    close(kernels.gelu_and_mul(x, exact=exact), REFERENCE.gelu_and_mul(x, exact=exact))
    close(kernels.gelu(x, exact=exact), REFERENCE.gelu(x, exact=exact))


@pytest.mark.parametrize("exact", [False, True])
def test_gelu_of_large_values(kernels: CpuKernels, exact: bool) -> None:
    x = torch.tensor([[-1e30, -200.0, -9.0, -1.0, 0.0, 1.0, 9.0, 200.0, 1e30, torch.nan]])
    torch.testing.assert_close(
        *(implementation.gelu(x, exact=exact) for implementation in (kernels, REFERENCE)),
        rtol=1e-5,
        atol=1e-6,
        equal_nan=True,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_clamp_of_strided_rows(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x = 3 * randn(9, 100, dtype=dtype)
    x[2, 40] = torch.nan
    expected = x.clone()
    expected[:, 7:91].clamp_(-1.5, 1.5)
    kernels.clamp(x[:, 7:91], 1.5)
    torch.testing.assert_close(x, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_and_gelu_do_not_depend_on_the_batch(
    kernels: CpuKernels, dtype: torch.dtype
) -> None:
    x, weight = randn(300, 576, dtype=dtype), randn(576, dtype=dtype, seed=1)
    operations = (
        lambda x: kernels.layer_norm(x, weight, weight, 1e-5),
        lambda x: kernels.gelu_and_mul(x, exact=False),
        lambda x: kernels.gelu(x, exact=True),
    )
    for operation in operations:
        alone = torch.cat([operation(row.unsqueeze(0)) for row in x])
        assert torch.equal(operation(x), alone)


@pytest.mark.parametrize("index", [[8, 0, 3], []])
def test_gather_rows_takes_an_index_of_32_bits(kernels: CpuKernels, index: list[int]) -> None:
    table = randn(9, 13, dtype=torch.float32)
    found = kernels.gather_rows(table, torch.tensor(index, dtype=torch.int32))
    assert torch.equal(found, table[torch.tensor(index, dtype=torch.int64)])


@pytest.mark.parametrize("index", [-1, 9])
def test_an_index_of_32_bits_outside_of_the_table_is_refused(
    kernels: CpuKernels, index: int
) -> None:
    with pytest.raises(IndexError, match="9 rows"):
        kernels.gather_rows(torch.zeros(9, 4), torch.tensor([index], dtype=torch.int32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("limit", [0.5, 7.0])
@pytest.mark.parametrize("width", [1, 24, 67])
def test_clamped_swiglu(kernels: CpuKernels, dtype: torch.dtype, limit: float, width: int) -> None:
    x = (torch.randn(5, 2 * width) * 4).to(dtype)
    close(kernels.clamped_swiglu(x, limit), REFERENCE.clamped_swiglu(x, limit))


def test_clamped_swiglu_of_large_values(kernels: CpuKernels) -> None:
    x = torch.tensor([[-1e4, 1e4, 1e4, -1e4]])
    found = kernels.clamped_swiglu(x, 7.0)
    torch.testing.assert_close(found, torch.tensor([[0.0, -42.0]]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_scaled_by_position(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x = torch.randn(4, 50).to(dtype)
    positions, table = torch.tensor([3, 0, 3, 7], dtype=torch.int32), torch.rand(8) + 1
    expected = x.clone()
    expected[:, 5:42] = (x[:, 5:42].float() * table[positions.long(), None]).to(dtype)
    kernels.scale_rows(x[:, 5:42], positions, table)
    assert torch.equal(x, expected)


def test_rows_are_scaled_by_one_number_a_position(kernels: CpuKernels) -> None:
    positions = torch.zeros(2, dtype=torch.int32)
    with pytest.raises(ValueError, match="table must be contiguous float32"):
        kernels.scale_rows(torch.zeros(2, 4), positions, torch.ones(3, 1))
