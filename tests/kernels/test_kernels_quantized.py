"""Products with 8-bit and 4-bit weights in C against the same integers in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.quantization import (
    MAX_IN_FEATURES,
    QuantizedWeight,
    WeightScheme,
    quantize_activations,
    quantize_weight,
)
from sglang.srt.kernels.reference import ReferenceKernels

DTYPES = [torch.float32, torch.bfloat16]
SCHEMES = {
    "int8": WeightScheme(8),
    "int8-16": WeightScheme(8, activation_bits=16),
    "int4-32": WeightScheme(4, 32),
    "int4-64": WeightScheme(4, 64),
    "int4-128": WeightScheme(4, 128),
    "int4-256": WeightScheme(4, 256),
}
SHAPES = [(1, 1), (31, 3), (32, 64), (33, 130), (100, 257), (64, 576)]


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> WeightScheme:
    return SCHEMES[request.param]


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def product(
    kernels: Any, weight: QuantizedWeight, x: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    packed = kernels.pack_linear(weight)
    return kernels.linear(x, packed, bias, out_dtype=torch.float32)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for the rounding of float32 sums."""
    torch.testing.assert_close(
        actual, expected, rtol=1e-5, atol=2e-6 * float(expected.abs().max()) + 1e-30
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_equals_the_reference(
    kernels: CpuKernels, scheme: WeightScheme, dtype: torch.dtype, n: int, k: int
) -> None:
    weight = quantize_weight(randn(n, k), scheme)
    bias = randn(n, dtype=dtype, seed=1)
    for m in (1, 2, 5, 13, 25):
        x = randn(m, k, dtype=dtype, seed=m)
        expected = product(ReferenceKernels(), weight, x, bias)
        assert_close(product(kernels, weight, x, bias), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_weights_are_quantized_as_by_the_reference(
    kernels: CpuKernels, scheme: WeightScheme, dtype: torch.dtype, n: int, k: int
) -> None:
    weight = randn(n, k, dtype=dtype)
    found = kernels.quantize_weight(weight, scheme)
    expected = quantize_weight(weight, scheme)
    assert found.codes.shape == (n, k)
    # Of two scales with nearly the same error either may win.
    same = (found.codes == expected.codes).float().mean()
    assert same > (0.999 if scheme.bits == 8 else 0.98)
    errors = [(each.dequantize() - weight.float()).square().sum() for each in (found, expected)]
    torch.testing.assert_close(*errors, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_does_not_depend_on_the_batch(
    kernels: CpuKernels, scheme: WeightScheme, dtype: torch.dtype
) -> None:
    packed = kernels.pack_linear(kernels.quantize_weight(randn(100, 330), scheme))
    x = randn(40, 330, dtype=dtype, seed=1)
    alone = torch.cat([kernels.linear(row.unsqueeze(0), packed) for row in x])
    for m in range(2, 41):
        assert torch.equal(kernels.linear(x[:m], packed), alone[:m])


def test_row_does_not_depend_on_the_threads(
    kernels: CpuKernels, scheme: WeightScheme, many_threads: int
) -> None:
    packed = kernels.pack_linear(kernels.quantize_weight(randn(600, 300), scheme))
    x = randn(130, 300, seed=1)
    shared = kernels.linear(x, packed)
    torch.set_num_threads(1)
    assert torch.equal(kernels.linear(x, packed), shared)


def test_large_enough_for_threads(
    kernels: CpuKernels, scheme: WeightScheme, many_threads: int
) -> None:
    weight = quantize_weight(randn(700, 577), scheme)
    for m in (1, 150):
        x = randn(m, 577, seed=2)
        assert_close(product(kernels, weight, x), product(ReferenceKernels(), weight, x))


def test_tall_input_of_few_columns(
    kernels: CpuKernels, scheme: WeightScheme, many_threads: int
) -> None:
    weight, x = quantize_weight(randn(40, 64), scheme), randn(1001, 64, seed=1)
    assert_close(product(kernels, weight, x), product(ReferenceKernels(), weight, x))


def test_strided_rows(kernels: CpuKernels, scheme: WeightScheme) -> None:
    weight, x = quantize_weight(randn(50, 47), scheme), randn(9, 100, seed=1)[:, 3:50]
    assert_close(product(kernels, weight, x), product(ReferenceKernels(), weight, x))


def test_results_have_the_dtype_of_the_activations(
    kernels: CpuKernels, scheme: WeightScheme
) -> None:
    weight, x = quantize_weight(randn(50, 64), scheme), randn(9, 64, dtype=torch.bfloat16, seed=1)
    packed = kernels.pack_linear(weight)
    out = kernels.linear(x, packed)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, kernels.linear(x, packed, out_dtype=torch.float32).bfloat16())


def test_extreme_codes_do_not_overflow(kernels: CpuKernels) -> None:
    k = 40_000
    codes = torch.full((3, k), -127, dtype=torch.int8)
    codes[1] = 127
    weight = QuantizedWeight(codes, torch.ones(3), WeightScheme(8))
    x = torch.full((2, k), 1.0)
    x[1] = -1.0
    assert_close(product(kernels, weight, x), product(ReferenceKernels(), weight, x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_in_its_row_and_shows(
    kernels: CpuKernels, scheme: WeightScheme, value: float
) -> None:
    weight, x = quantize_weight(randn(50, 100), scheme), randn(3, 100, seed=1)
    packed = kernels.pack_linear(weight)
    expected = kernels.linear(x, packed)
    x[1, 70] = value
    found = kernels.linear(x, packed)
    assert not found[1].isfinite().any()
    assert torch.equal(found[0::2], expected[0::2])


def test_nothing_times_anything_is_nothing(kernels: CpuKernels, scheme: WeightScheme) -> None:
    weight = randn(40, 70)
    weight[3] = 0.0
    weight[4] = 1e-38
    packed = kernels.pack_linear(kernels.quantize_weight(weight, scheme))
    x = randn(3, 70, seed=1)
    x[1] = 0.0
    out = kernels.linear(x, packed)
    assert out.isfinite().all()
    assert not out[1].any() and not out[:, 3:5].any()


def test_no_rows(kernels: CpuKernels, scheme: WeightScheme) -> None:
    packed = kernels.pack_linear(quantize_weight(randn(50, 64), scheme))
    assert kernels.linear(torch.empty(0, 64), packed).shape == (0, 50)


def test_refuses_activations_of_another_width(kernels: CpuKernels, scheme: WeightScheme) -> None:
    packed = kernels.pack_linear(quantize_weight(randn(50, 64), scheme))
    with pytest.raises(ValueError, match=r"x must be \[T, 64\]"):
        kernels.linear(torch.zeros(1, 63), packed)


def test_refuses_scales_of_another_shape(kernels: CpuKernels) -> None:
    codes = torch.zeros(4, 64, dtype=torch.int8)
    scales = torch.ones(4, 3, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match=r"scales \[4, 2\], got .* \[4, 3\]"):
        kernels.pack_linear(QuantizedWeight(codes, scales, WeightScheme(4, 32)))


@pytest.mark.parametrize("which", ["cpu-c", "reference"])
def test_refuses_more_inputs_than_sums_can_hold(kernels: CpuKernels, which: str) -> None:
    chosen = kernels if which == "cpu-c" else ReferenceKernels()
    with pytest.raises(ValueError, match="the most are 131072"):
        chosen.quantize_weight(torch.zeros(1, MAX_IN_FEATURES + 1), WeightScheme(8))


@pytest.mark.parametrize("fields", [(3, 0, 8), (8, 32, 8), (8, 0, 4), (4, 0, 8), (4, 32, 16)])
def test_refuses_schemes_that_do_not_exist(fields: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="there is no WeightScheme"):
        WeightScheme(*fields)


def test_other_dtypes_use_the_reference(kernels: CpuKernels) -> None:
    weight, x = randn(50, 64, dtype=torch.float16), randn(3, 64, dtype=torch.float16)
    found = kernels.quantize_weight(weight, WeightScheme(8))
    assert torch.equal(found.codes, quantize_weight(weight, WeightScheme(8)).codes)
    assert F.linear(x, weight).dtype == kernels.linear(x, kernels.pack_linear(weight)).dtype


# ------------------------------------------------------------------------ the reference itself


@pytest.mark.parametrize(
    ("name", "largest"),
    [("int8", 0.009), ("int4-32", 0.085), ("int4-64", 0.095), ("int4-128", 0.105)],
)
def test_relative_error_of_normal_weights(name: str, largest: float) -> None:
    weight = randn(64, 1024)
    error = quantize_weight(weight, SCHEMES[name]).dequantize() - weight
    assert error.norm() / weight.norm() < largest


@pytest.mark.parametrize(("bits", "largest"), [(8, 0.01), (16, 5e-5)])
def test_relative_error_of_normal_activations(bits: int, largest: float) -> None:
    x = randn(16, 1024)
    integers, scales = quantize_activations(x, 1024, bits)
    error = (integers * scales[..., None]).flatten(1) - x
    assert error.norm() / x.norm() < largest


def test_reference_product_is_that_of_the_dequantized_weight() -> None:
    for scheme in SCHEMES.values():
        weight, x = quantize_weight(randn(20, 300), scheme), randn(5, 300, seed=1)
        integers, scales = quantize_activations(x, scheme.group_size or 300, scheme.activation_bits)
        rounded = (integers * scales[..., None]).flatten(1)[:, :300].float()
        expected = F.linear(rounded, weight.dequantize())
        torch.testing.assert_close(
            product(ReferenceKernels(), weight, x), expected, rtol=1e-4, atol=1e-4
        )
