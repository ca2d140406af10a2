"""A request's tokens depend on its own seed, text and parameters, and on nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sglang.srt.sampling.noise import uniform
from sglang.srt.sampling.sampler import SamplingRow
from tests.sampling.sampling_reference import draw, make_row

MIX: list[dict[str, Any]] = [
    {"temperature": 0},
    {},
    {"temperature": 0.6},
    {"min_p": 0.05},
    {"top_k": 40},
    {"top_k": 40, "top_p": 0.8},
    {"top_p": 0.95},
    {"top_p": 0.95, "temperature": 3.0},
    {"top_k": 1000, "temperature": 2.0},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.4},
    {"logit_bias": {"17": 5.0}, "min_new_tokens": 10, "temperature": 0},
]


def mixed_batch(count: int, vocab_size: int) -> tuple[torch.Tensor, list[SamplingRow]]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, vocab_size, generator=generator) * 2
    rows = [
        make_row(
            MIX[i % len(MIX)], seed=1000 - i, prompt=[1, 2, i], output=range(i % 5), stop_ids=[3]
        )
        for i in range(count)
    ]
    return logits, rows


# An odd width moves the rows against the machine's vectors; the wide one takes several chunks.
@pytest.mark.parametrize(("count", "vocab_size"), [(66, 1003), (22, 40_001)])
def test_alone_as_in_a_batch(count: int, vocab_size: int) -> None:
    logits, rows = mixed_batch(count, vocab_size)
    alone = [draw(logits[i : i + 1].clone(), [row])[0] for i, row in enumerate(rows)]
    assert draw(logits, rows) == alone


def test_the_order_of_a_batch_does_not_matter() -> None:
    logits, rows = mixed_batch(55, 1003)
    tokens = draw(logits, rows)
    order = np.random.default_rng(0).permutation(55).tolist()
    assert draw(logits[order], [rows[i] for i in order]) == [tokens[i] for i in order]


def test_the_number_of_threads_does_not_matter() -> None:
    logits, rows = mixed_batch(22, 40_001)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = draw(logits, rows)
        torch.set_num_threads(2)
        assert draw(logits, rows) == single
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("raw", MIX)
def test_a_row_made_anew_goes_on_as_the_old_one_would(raw: dict[str, Any]) -> None:
    """As after a retraction: nothing but the tokens so far is needed."""
    generator = torch.Generator().manual_seed(2)
    kept = make_row(raw, seed=5, prompt=[7, 7, 8], stop_ids=[0])
    output = kept.output_ids
    assert isinstance(output, list)
    for _ in range(100):
        logits = torch.randn(1, 100, generator=generator)
        fresh = make_row(raw, seed=5, prompt=[7, 7, 8], output=output, stop_ids=[0])
        [token] = draw(logits, [kept])
        assert draw(logits, [fresh]) == [token]
        output.append(token)


def test_an_output_that_was_cut_short_is_counted_anew() -> None:
    row = make_row({"frequency_penalty": 2.0, "temperature": 0}, output=[1, 1, 0, 0, 0])
    logits = torch.tensor([[3.0, 2.0, 0.0]])
    before = draw(logits, [row])
    row.output_ids = [1]
    assert (before, draw(logits, [row])) == ([2], [0])


def test_different_seeds_and_positions_draw_differently() -> None:
    logits = torch.zeros(1, 1 << 20)
    tokens = [
        draw(logits, [make_row({}, seed=seed, output=range(position))])[0]
        for seed in range(3)
        for position in range(3)
    ]
    assert len(set(tokens)) == 9


def test_noise_is_uniform_over_seeds_and_positions() -> None:
    seeds, positions = np.meshgrid(np.arange(-100, 100), np.arange(100))
    noise = uniform(seeds.ravel(), positions.ravel())
    counts = np.histogram(noise, bins=50, range=(0.0, 1.0))[0]
    # 49 degrees of freedom: the 1 - 1e-5 quantile is 103.
    assert ((counts - 400) ** 2 / 400).sum() < 103


def test_noise_of_neighbours_is_uncorrelated() -> None:
    noise = uniform(np.repeat(np.arange(200), 200), np.tile(np.arange(200), 200)).reshape(200, 200)
    centred = noise - 0.5
    by_seed = (centred[1:] * centred[:-1]).mean() * 12
    by_position = (centred[:, 1:] * centred[:, :-1]).mean() * 12
    # The standard deviation of each is 1 / 200.
    assert max(abs(by_seed), abs(by_position)) < 5 / 200


def test_noise_stays_the_same_for_ever() -> None:
    """Seeds are promised to users: these numbers must not change with a version."""
    seeds = np.array([0, 1, -1, 2**63 - 1, -(2**63)])
    noise = uniform(seeds, np.array([0, 1, 2, 3, 10**6]))
    assert noise.tolist() == [
        0.8833108082136426,
        0.37239342287916577,
        0.31821586879124175,
        0.22599872354166717,
        0.007734511702692015,
    ]
