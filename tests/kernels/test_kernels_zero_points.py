"""Products with 4-bit integers that have zero points, in C against the same numbers in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.quantization import (
    QuantizedWeight,
    WeightScheme,
    from_minima,
    quantize_activations,
    quantize_weight,
    stack,
)
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
SHAPES = [(1, 1), (31, 3), (32, 64), (33, 130), (100, 257), (64, 576)]


def make_weight(n: int, k: int, group_size: int = 32, *, seed: int = 0) -> QuantizedWeight:
    """Zero points are integers in some groups and in others not."""
    generator = torch.Generator().manual_seed(seed)
    groups = n, -(-k // group_size)
    codes = torch.randint(-8, 8, (n, k), generator=generator, dtype=torch.int8)
    scales = torch.rand(groups, generator=generator) * 0.1 + 0.01
    zeros = torch.randn(groups, generator=generator) * 5
    zeros[:, ::2] = zeros[:, ::2].round()
    scheme = WeightScheme(4, group_size, zeros=True)
    return QuantizedWeight(codes, scales.bfloat16(), scheme, zeros.bfloat16())


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def product(
    kernels: Any, weight: QuantizedWeight, x: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    return kernels.linear(x, kernels.pack_linear(weight), bias, out_dtype=torch.float32)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding of float32 sums."""
    size = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group_size", [32, 64, 128, 256])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_equals_the_reference(
    kernels: CpuKernels, dtype: torch.dtype, group_size: int, n: int, k: int
) -> None:
    weight, bias = make_weight(n, k, group_size), randn(n, dtype=dtype)
    for rows in (1, 2, 5, 13, 25):
        x = randn(rows, k, dtype=dtype, seed=rows)
        assert_close(product(kernels, weight, x, bias), product(REFERENCE, weight, x, bias))


def test_a_column_that_asks_for_one_weight_gets_that_number(kernels: CpuKernels) -> None:
    """A single activation is an exact integer, whatever it is."""
    weight = make_weight(64, 64)
    found = kernels.linear(torch.eye(64), kernels.pack_linear(weight)).t()
    torch.testing.assert_close(found, weight.dequantize(), rtol=1e-6, atol=0)


def test_a_group_takes_16_bits_for_its_zero_point(kernels: CpuKernels) -> None:
    packed = kernels.pack_linear(make_weight(64, 256, 64))
    assert packed.data.nbytes == 64 * 256 // 2 + 64 * 4 * (2 + 2)


def test_zero_points_of_zero_change_nothing(kernels: CpuKernels) -> None:
    weight = quantize_weight(randn(50, 100), WeightScheme(4, 32))
    zeros = torch.zeros_like(weight.scales)
    same = QuantizedWeight(weight.codes, weight.scales, WeightScheme(4, 32, zeros=True), zeros)
    x = randn(7, 100)
    assert torch.equal(product(kernels, same, x), product(kernels, weight, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_does_not_depend_on_the_batch(kernels: CpuKernels, dtype: torch.dtype) -> None:
    packed = kernels.pack_linear(make_weight(100, 330))
    x = randn(30, 330, dtype=dtype)
    alone = torch.cat([kernels.linear(row.unsqueeze(0), packed) for row in x])
    for rows in range(2, 31):
        assert torch.equal(kernels.linear(x[:rows], packed), alone[:rows])


def test_large_enough_for_threads(kernels: CpuKernels, many_threads: int) -> None:
    weight = make_weight(700, 577)
    for rows in (1, 150):
        x = randn(rows, 577)
        assert_close(product(kernels, weight, x), product(REFERENCE, weight, x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_in_its_row_and_shows(kernels: CpuKernels, value: float) -> None:
    packed, x = kernels.pack_linear(make_weight(50, 100)), randn(3, 100)
    expected = kernels.linear(x, packed)
    x[1, 70] = value
    found = kernels.linear(x, packed)
    assert not found[1].isfinite().any()
    assert torch.equal(found[0::2], expected[0::2])


@pytest.mark.parametrize("dtype", DTYPES)
def test_experts(kernels: CpuKernels, dtype: torch.dtype) -> None:
    ups = [make_weight(2 * 40, 64, seed=i) for i in range(3)]
    downs = [make_weight(64, 40, seed=10 + i) for i in range(3)]
    x = randn(5, 64, dtype=dtype)
    chosen = torch.tensor([[0, 2], [1, 0], [2, 1], [0, 1], [2, 0]], dtype=torch.int32)
    weights = torch.rand(5, 2)
    found, expected = (
        each.expert_mlp(
            x,
            chosen,
            weights,
            each.pack_experts(iter(ups), 3),
            each.pack_experts(iter(downs), 3),
            kind="silu",
        )
        for each in (kernels, REFERENCE)
    )
    assert (found - expected).float().norm() / expected.float().norm() < 2e-2


def test_refuses_what_is_not_as_the_scheme_says(kernels: CpuKernels) -> None:
    weight = make_weight(4, 64)
    codes, scales, scheme = weight.codes, weight.scales, weight.scheme
    with pytest.raises(ValueError, match=r"has codes, scales, zeros, got codes, scales$"):
        kernels.pack_linear(QuantizedWeight(codes, scales, scheme))
    with pytest.raises(ValueError, match="has codes, scales, got codes, scales, zeros"):
        kernels.pack_linear(QuantizedWeight(codes, scales, WeightScheme(4, 32), weight.zeros))
    with pytest.raises(ValueError, match=r"zeros \[4, 2\], got torch.float32 \[4, 2\]"):
        kernels.pack_linear(QuantizedWeight(codes, scales, scheme, scales.float()))


def test_nothing_is_quantized_to_them(kernels: CpuKernels) -> None:
    for quantize in (kernels.quantize_weight, quantize_weight):
        with pytest.raises(ValueError, match="cannot be turned into"):
            quantize(torch.ones(2, 32), WeightScheme(4, 32, zeros=True))


@pytest.mark.parametrize("fields", [(8, 0, 8, False, True), (4, 32, 8, True, True)])
def test_only_4_bit_integers_have_them(fields: tuple[int, int, int, bool, bool]) -> None:
    with pytest.raises(ValueError, match="there is no WeightScheme"):
        WeightScheme(*fields)


# -- the reference itself -----------------------------------------------------------------------


def test_reference_product_is_that_of_the_dequantized_weight() -> None:
    weight, x = make_weight(20, 300), randn(5, 300)
    integers, scales = quantize_activations(x, 32, 8)
    rounded = (integers * scales[..., None]).flatten(1)[:, :300].float()
    expected = F.linear(rounded, weight.dequantize())
    torch.testing.assert_close(product(REFERENCE, weight, x), expected, rtol=1e-4, atol=1e-4)


def test_stacked_weights_lie_below_one_another() -> None:
    weights = [make_weight(3, 64, seed=seed) for seed in (0, 1)]
    expected = torch.cat([weight.dequantize() for weight in weights])
    assert torch.equal(stack(weights).dequantize(), expected)


def test_minima_are_kept_to_half_a_percent_of_what_a_group_spans() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 16, (40, 256), generator=generator, dtype=torch.int8)
    scales = torch.rand((40, 8), generator=generator) * 0.1 + 0.01
    minima = -scales * torch.rand((40, 8), generator=generator) * 15
    exact = codes * scales.repeat_interleave(32, 1) + minima.repeat_interleave(32, 1)
    error = (from_minima(codes, scales, minima).dequantize() - exact).abs()
    assert (error / (15 * scales).repeat_interleave(32, 1)).max() < 0.005


def test_groups_of_one_value_have_that_value() -> None:
    codes = torch.arange(64, dtype=torch.int8).view(1, 64) % 16
    found = from_minima(codes, torch.zeros(1, 2), torch.tensor([[0.5, 0.0]])).dequantize()
    assert torch.equal(found, torch.tensor([[0.5] * 32 + [0.0] * 32]))
