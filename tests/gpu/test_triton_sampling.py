"""Drawing tokens: the Triton kernel picks what the sampler's own way picks."""

from __future__ import annotations

import pytest
import torch

from sglang.srt.kernels.triton import sampling
from sglang.srt.sampling.sampler import sample
from sglang.srt.sampling.sampling_batch import DrawGroup, Route, SamplingBatch
from tests.gpu.triton_kernels import DEVICE, randn

ROWS = 3


def draws(
    x: torch.Tensor,
    *,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    temperature: float = 0.9,
    uniforms: tuple[float, ...] = (0.0, 0.6180339887, 1 - 2**-53),
) -> tuple[list[int], list[int]]:
    """By the kernel and by the sampler's own way."""
    rows = len(x)

    def full(value: float | None, dtype: torch.dtype) -> torch.Tensor | None:
        return None if value is None else torch.full((rows,), value, dtype=dtype, device=DEVICE)

    group = DrawGroup(
        rows=None,
        uniforms=torch.tensor(uniforms[:rows], dtype=torch.float64, device=DEVICE),
        temperature=torch.full((rows,), temperature, device=DEVICE),
        min_p=full(min_p, torch.float32),
        top_k=full(top_k, torch.int64),
        top_p=full(top_p, torch.float64),
        route=Route.UNFILTERED if top_k is None and top_p is None else Route.THRESHOLD,
    )
    batch = SamplingBatch(rows, x.shape[1], None, [group])
    mine = sample(x, batch, draw_tokens=sampling.draw_tokens).tolist()
    return mine, sample(x, batch).tolist()


FILTERS: list[dict[str, float]] = [
    {},
    {"min_p": 0.1},
    {"top_k": 5},
    {"top_p": 0.9},
    {"top_k": 20, "top_p": 0.8},
    {"top_p": 0.7, "min_p": 0.05},
]


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_filters_in_a_row_of_one_block(options: dict[str, float]) -> None:
    mine, expected = draws(3 * randn(ROWS, 90), **options)
    assert mine == expected


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_ties(options: dict[str, float]) -> None:
    """Of equally probable tokens the lower id comes first."""
    mine, expected = draws((2 * randn(ROWS, 60)).round(), **options)
    assert mine == expected


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"top_k": 12, "top_p": 0.95}], ids=str)
def test_rows_of_many_blocks(options: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the tokens above the cut are few enough to be gathered."""
    monkeypatch.setattr(sampling, "BLOCK", 16)
    mine, expected = draws(4 * randn(2, 75), **options)
    assert mine == expected


def test_more_tokens_asked_for_than_can_come() -> None:
    x = torch.full((ROWS, 40), -200.0, device=DEVICE)
    x[:, 7] = 0.0
    x[:, 9] = -1.0
    mine, expected = draws(x, top_k=30)
    assert mine == expected and set(mine) == {7, 9}


def test_some_rows_of_a_batch() -> None:
    x = 3 * randn(4, 50)
    group = DrawGroup(
        rows=torch.tensor([3, 1], device=DEVICE),
        uniforms=torch.tensor([0.3, 0.8], dtype=torch.float64, device=DEVICE),
        temperature=torch.tensor([1.0, 2.0], device=DEVICE),
        min_p=None,
        top_k=None,
        top_p=torch.tensor([0.8, 0.95], dtype=torch.float64, device=DEVICE),
        route=Route.THRESHOLD,
    )
    batch = SamplingBatch(4, 50, None, [group])
    found = sample(x, batch, draw_tokens=sampling.draw_tokens)
    assert torch.equal(found, sample(x, batch))
    assert found[[0, 2]].tolist() == x[[0, 2]].argmax(-1).tolist()


def test_rows_without_a_choice_do_not_disturb_the_others() -> None:
    x = randn(ROWS, 40)
    x[0], x[2, 3] = -torch.inf, torch.nan
    mine, expected = draws(x, top_p=0.9)
    assert mine == expected and mine[0] == mine[2] == -1
