"""Products with 4-bit floats in C against the same numbers in torch."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme, quantize_weight
from sglang.srt.kernels.reference import ReferenceKernels

REFERENCE = ReferenceKernels()
DTYPES = [torch.float32, torch.bfloat16]
DOUBLED = torch.tensor([0, 1, 2, 3, 4, 6, 8, 12], dtype=torch.int8)


def make_weight(n: int, k: int, group_size: int = 32, seed: int = 0) -> QuantizedWeight:
    generator = torch.Generator().manual_seed(seed)
    codes = DOUBLED[torch.randint(8, (n, k), generator=generator)]
    codes = codes * (2 * torch.randint(2, (n, k), generator=generator) - 1).to(torch.int8)
    exponents = torch.randint(-6, 3, (n, -(-k // group_size)), generator=generator)
    scales = torch.exp2(exponents.float()).bfloat16()
    return QuantizedWeight(codes, scales, WeightScheme(4, group_size, floats=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group_size", [32, 64])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (31, 3), (32, 64), (33, 130), (100, 257)])
def test_equals_the_reference(
    kernels: CpuKernels, dtype: torch.dtype, group_size: int, n: int, k: int
) -> None:
    weight = make_weight(n, k, group_size)
    bias = torch.randn(n).to(dtype)
    for rows in (1, 2, 5, 13):
        x = torch.randn(rows, k).to(dtype)
        found, expected = (
            each.linear(x, each.pack_linear(weight), bias, out_dtype=torch.float32)
            for each in (kernels, REFERENCE)
        )
        size = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * size)


def test_a_column_that_asks_for_one_weight_gets_that_number(kernels: CpuKernels) -> None:
    """A single activation is an exact integer, whatever it is."""
    weight = make_weight(64, 32)
    found = kernels.linear(torch.eye(32), kernels.pack_linear(weight)).t()
    torch.testing.assert_close(found, weight.dequantize(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_experts(kernels: CpuKernels, dtype: torch.dtype) -> None:
    ups = [make_weight(2 * 40, 64, seed=i) for i in range(3)]
    downs = [make_weight(64, 40, seed=10 + i) for i in range(3)]
    x = torch.randn(5, 64).to(dtype)
    chosen = torch.tensor([[0, 2], [1, 0], [2, 1], [0, 1], [2, 0]], dtype=torch.int32)
    weights = torch.rand(5, 2)
    found, expected = (
        each.expert_mlp(
            x,
            chosen,
            weights,
            each.pack_experts(iter(ups), 3),
            each.pack_experts(iter(downs), 3),
            kind="clamped_swiglu",
            limit=7.0,
        )
        for each in (kernels, REFERENCE)
    )
    assert (found - expected).float().norm() / expected.float().norm() < 2e-2


@pytest.mark.parametrize("bits", [4, 8])
def test_nothing_is_quantized_to_them(kernels: CpuKernels, bits: int) -> None:
    if bits == 8:
        with pytest.raises(ValueError, match="there is no"):
            WeightScheme(8, floats=True)
        return
    scheme = WeightScheme(4, 32, floats=True)
    for quantize in (kernels.quantize_weight, quantize_weight):
        with pytest.raises(ValueError, match="cannot be turned into"):
            quantize(torch.ones(2, 32), scheme)
