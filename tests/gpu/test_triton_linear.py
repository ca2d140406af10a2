"""Products with quantized and plain weights: Triton against the reference."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels.quantization import (
    GROUP_SIZES,
    QuantizedWeight,
    WeightScheme,
    quantize_weight,
)
from tests.gpu.triton_kernels import DEVICE, REFERENCE, TRITON, close, randn

INTEGERS = WeightScheme(bits=8, activation_bits=8)
WEIGHT_ONLY = [
    WeightScheme(bits=8, activation_bits=16),
    *(WeightScheme(bits=4, group_size=size) for size in GROUP_SIZES),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("rows", "n", "k"), [(1, 33, 100), (5, 7, 256), (70, 64, 31)])
def test_products_of_integers_are_exact(rows: int, n: int, k: int, bias: bool) -> None:
    x = randn(rows, k + 3)[:, :k]
    weight = quantize_weight(randn(n, k, seed=1), INTEGERS)
    added = randn(n, seed=2) if bias else None
    found = TRITON.linear(x, TRITON.pack_linear(weight), added)
    expected = REFERENCE.linear(x, REFERENCE.pack_linear(weight), added)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scheme", WEIGHT_ONLY, ids=str)
@pytest.mark.parametrize("rows", [1, 20])
def test_other_weights_are_multiplied_as_what_they_stand_for(
    dtype: torch.dtype, scheme: WeightScheme, rows: int
) -> None:
    x, bias = randn(rows, 300, dtype=dtype), randn(40, dtype=dtype, seed=2)
    weight = quantize_weight(randn(40, 300, seed=1) / 17, scheme)
    found = TRITON.linear(x, TRITON.pack_linear(weight), bias, out_dtype=torch.float32)
    expected = x.float() @ weight.dequantize().T + bias.float()
    close(found, expected, factor=1 if dtype == torch.float32 else 400)


def test_rows_of_zeros_and_of_what_is_no_number() -> None:
    x = randn(3, 64)
    x[0], x[1, 5] = 0, torch.nan
    packed = TRITON.pack_linear(quantize_weight(randn(8, 64, seed=1), INTEGERS))
    out = TRITON.linear(x, packed)
    assert not out[0].any() and out[1].isnan().all() and out[2].isfinite().all()


@pytest.mark.parametrize("out_dtype", [None, torch.bfloat16, torch.float32], ids=str)
def test_plain_weights(out_dtype: torch.dtype | None) -> None:
    x, weight = randn(4, 20, dtype=torch.bfloat16), randn(7, 20, dtype=torch.bfloat16, seed=1)
    bias = randn(7, dtype=torch.bfloat16, seed=2)
    found = TRITON.linear(x, TRITON.pack_linear(weight), bias, out_dtype=out_dtype)
    assert found.dtype == (out_dtype or torch.bfloat16)
    expected = x.float() @ weight.float().T + bias.float()
    torch.testing.assert_close(found.float(), expected, rtol=2e-2, atol=2e-2)


def test_weights_of_4_bit_floats_are_the_reference_s() -> None:
    scheme = WeightScheme(bits=4, group_size=32, floats=True)
    codes = torch.tensor([0, 1, 2, 3, 4, 6, 8, 12, -12, -1], dtype=torch.int8, device=DEVICE)
    codes = codes.repeat(8 * 64)[: 8 * 64].view(8, 64)
    weight = QuantizedWeight(codes, torch.ones(8, 2, device=DEVICE).bfloat16(), scheme)
    x = randn(3, 64)
    found = TRITON.linear(x, TRITON.pack_linear(weight))
    assert torch.equal(found, REFERENCE.linear(x, REFERENCE.pack_linear(weight)))


def test_weights_with_zero_points_are_the_reference_s() -> None:
    plain = quantize_weight(randn(8, 64), WeightScheme(4, 32))
    scheme = WeightScheme(4, 32, zeros=True)
    weight = QuantizedWeight(plain.codes, plain.scales, scheme, torch.ones_like(plain.scales))
    x = randn(3, 64)
    found = TRITON.linear(x, TRITON.pack_linear(weight))
    assert torch.equal(found, REFERENCE.linear(x, REFERENCE.pack_linear(weight)))


def test_x_of_another_width_is_refused() -> None:
    packed = TRITON.pack_linear(quantize_weight(randn(8, 64), INTEGERS))
    with pytest.raises(ValueError, match=r"x must be \[T, 64\]"):
        TRITON.linear(torch.zeros(2, 32, device=DEVICE), packed)
