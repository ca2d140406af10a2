"""Forbidding tokens by a bit mask in C against torch."""

from __future__ import annotations

import math

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.reference import ReferenceKernels


def random_bits(rows: int, columns: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(columns)
    words = torch.randint(-(2**31), 2**31, (rows, (columns + 31) // 32), generator=random)
    words[0] = 0
    words[-1] = -1
    return words.to(torch.int32)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 1000, 4096, 4111])
def test_equals_torch(kernels: CpuKernels, columns: int) -> None:
    logits, rows = torch.randn(7, columns), torch.tensor([0, 2, 3, 6])
    bits = random_bits(4, columns)
    expected = logits.clone()
    ReferenceKernels().mask_tokens(expected, rows, bits)
    kernels.mask_tokens(logits, rows, bits)
    assert torch.equal(logits, expected)


def test_bit_c_mod_32_of_word_c_div_32_keeps_column_c(kernels: CpuKernels) -> None:
    for column in (0, 31, 32, 69):
        logits = torch.zeros(1, 70)
        bits = torch.zeros(1, 3, dtype=torch.int64)
        bits[0, column // 32] = 1 << (column % 32)
        kernels.mask_tokens(logits, torch.tensor([0]), bits.to(torch.int32))
        assert (logits[0] == 0).nonzero().tolist() == [[column]]
        assert logits.min() == -math.inf


def test_rows_of_a_wider_tensor(kernels: CpuKernels) -> None:
    wide = torch.zeros(3, 100)
    kernels.mask_tokens(wide[:, :40], torch.tensor([1]), torch.zeros(1, 2, dtype=torch.int32))
    assert wide.isinf().sum() == 40 and wide[1, :40].isinf().all()


def test_no_rows_are_no_work(kernels: CpuKernels) -> None:
    logits = torch.zeros(2, 40)
    kernels.mask_tokens(
        logits, torch.empty(0, dtype=torch.int64), torch.empty(0, 2, dtype=torch.int32)
    )
    assert not logits.any()


@pytest.mark.parametrize("rows", [[2], [-1]])
def test_rows_outside_are_refused(kernels: CpuKernels, rows: list[int]) -> None:
    with pytest.raises(IndexError, match="2 rows"):
        kernels.mask_tokens(
            torch.zeros(2, 32), torch.tensor(rows), torch.zeros(1, 1, dtype=torch.int32)
        )


def test_bits_of_another_shape_are_refused(kernels: CpuKernels) -> None:
    with pytest.raises(ValueError, match=r"int32 \[1, 2\]"):
        kernels.mask_tokens(
            torch.zeros(2, 33), torch.tensor([0]), torch.zeros(1, 1, dtype=torch.int32)
        )
