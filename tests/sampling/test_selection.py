"""Finding the best tokens, ties included."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.sampling.selection import best_first


def few_values(rows: int, columns: int, values: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, values, (rows, columns)).astype(np.float32))


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
