"""The largest value of each row in C against torch: ties, infinities, NaN, odd sizes."""

from __future__ import annotations

import math

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.reference import ReferenceKernels

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("columns", [1, 15, 17, 511, 512, 513, 4096, 5001])
def test_equals_torch(kernels: CpuKernels, columns: int) -> None:
    x = torch.randn(5, columns, generator=torch.Generator().manual_seed(columns))
    for mine, expected in zip(
        kernels.best_tokens(x), ReferenceKernels().best_tokens(x), strict=True
    ):
        assert torch.equal(mine, expected)


def test_of_equal_values_the_first_wins(kernels: CpuKernels) -> None:
    x = torch.zeros(3, 2000)
    x[1, 700] = x[1, 1900] = 1.0
    x[2, 511] = x[2, 512] = 1.0
    assert kernels.best_tokens(x)[1].tolist() == [0, 700, 511]


def test_infinities_allow_no_choice(kernels: CpuKernels) -> None:
    x = torch.full((3, 1000), -INF)
    x[1, 999] = -5.0
    x[2, 600] = INF
    values, indices = kernels.best_tokens(x)
    assert values.tolist() == [-INF, -5.0, INF]
    assert indices.tolist() == [-1, 999, -1]


@pytest.mark.parametrize("where", [0, 300, 600, 1000])
def test_a_nan_shows_and_does_not_spread(kernels: CpuKernels, where: int) -> None:
    x = torch.arange(3 * 1001, dtype=torch.float32).view(3, 1001)
    x[1, where] = NAN
    values, indices = kernels.best_tokens(x)
    assert values.isnan().tolist() == [False, True, False]
    assert indices[[0, 2]].tolist() == [1000, 1000]
    assert int(indices[1]) == -1


def test_rows_may_be_apart(kernels: CpuKernels) -> None:
    x = torch.randn(4, 3000, generator=torch.Generator().manual_seed(0))[::2, :700]
    assert torch.equal(kernels.best_tokens(x)[1], x.argmax(dim=-1))


def test_rows_without_columns_are_refused(kernels: CpuKernels) -> None:
    with pytest.raises(ValueError, match="at least one column"):
        kernels.best_tokens(torch.empty(2, 0))
