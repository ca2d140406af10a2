"""Finding maxima and best tokens, ties included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.sampling.selection import MIN_BLOCKWISE, best_first, row_max


def few_values(rows: int, columns: int, values: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, values, (rows, columns)).astype(np.float32))


# Below and above the size at which the two-step maximum begins, with and without a rest.
SHAPES = [(1, 1), (3, 63), (2, 1000), (1, MIN_BLOCKWISE), (9, 4096), (9, 4097), (2, 40_003)]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("values", [2, 1000, 10**6])
def test_row_max_finds_the_first_maximum(rows: int, columns: int, values: int) -> None:
    x = few_values(rows, columns, values, seed=columns)
    best, ids = row_max(x)
    assert best.tolist() == x.numpy().max(axis=1).tolist()
    assert ids.tolist() == x.numpy().argmax(axis=1).tolist()


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("place", [0, -1])
def test_row_max_shows_a_nan(rows: int, columns: int, place: int) -> None:
    x = few_values(rows, columns, 1000, seed=0)
    x[-1, place] = torch.nan
    best, ids = row_max(x)
    assert best.isnan().tolist() == [False] * (rows - 1) + [True]
    assert 0 <= int(ids[-1]) < columns


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 120),
    st.sampled_from([1, 2, 5, 10**6]),
    st.integers(0, 10**6),
    st.data(),
)
def test_best_first_orders_by_value_then_id(
    rows: int, columns: int, values: int, seed: int, data: st.DataObject
) -> None:
    x = few_values(rows, columns, values, seed)
    k = data.draw(st.integers(1, columns))
    best, ids = best_first(x, k)
    expected = np.argsort(-x.numpy(), axis=1, kind="stable")[:, :k]
    assert ids.tolist() == expected.tolist()
    assert best.tolist() == np.take_along_axis(x.numpy(), expected, axis=1).tolist()
