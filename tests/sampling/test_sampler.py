"""The sampler against its definition, and against the distributions it promises."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.sampling.sampler import (
    INVALID_TOKEN,
    draw_column,
    make_sampling_batch,
    sample,
    token_weights,
)
from sglang.srt.sampling.sampling_batch import CANDIDATES, Route
from tests.sampling.sampling_reference import (
    STEPS_PER_UNIT,
    draw,
    make_row,
    reference_kept,
    reference_token,
    reference_weights,
)


def gaussian(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


filters = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.1, 0.7, 1.0, 1.5, 30.0]),
        "top_k": st.sampled_from([-1, 1, 2, 3, 7, 100]),
        "top_p": st.sampled_from([1e-9, 0.1, 0.5, 0.9, 0.999999, 1.0]),
        "min_p": st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    },
)
# Few distinct values, so that ties are everywhere.
tied_logits = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0]), min_size=40, max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(filters, tied_logits), min_size=1, max_size=6), st.integers(0, 2**63 - 1))
def test_equals_the_definition_on_small_vocabularies(
    cases: list[tuple[dict[str, Any], list[float]]], seed: int
) -> None:
    rows = [make_row(raw, seed=seed - i) for i, (raw, _) in enumerate(cases)]
    logits = torch.tensor([values for _, values in cases])
    assert draw(logits, rows) == [reference_token(x, r) for x, r in zip(logits, rows, strict=True)]


WIDE_CASES: list[dict[str, Any]] = [
    {},
    {"min_p": 0.2},
    {"top_k": 50},
    {"top_k": 50, "top_p": 0.7},
    {"top_p": 0.5},
    {"top_p": 0.95},
    {"top_p": 0.9999, "temperature": 1.7},
    {"top_p": 0.9, "min_p": 0.1},
    {"top_k": 128},
    {"top_k": 129},
    {"top_k": 900, "top_p": 0.8, "min_p": 0.001},
    {"top_k": 900, "temperature": 50.0},
    {"top_p": 0.5, "temperature": 50.0},
    {"top_k": 2000, "temperature": 0.05},
    {"top_k": 900, "min_p": 0.6, "temperature": 4.0},
    {"top_p": 0.999, "min_p": 0.6, "temperature": 4.0},
]


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0])
@pytest.mark.parametrize("rounded", [False, True], ids=["float32", "bfloat16"])
def test_equals_the_definition_beyond_the_first_candidates(scale: float, rounded: bool) -> None:
    rows = [make_row(raw, seed=i) for i, raw in enumerate(WIDE_CASES)]
    logits = gaussian(len(rows), 2011, scale=scale)
    if rounded:  # ties
        logits = logits.to(torch.bfloat16).to(torch.float32)
    assert draw(logits, rows) == [reference_token(x, r) for x, r in zip(logits, rows, strict=True)]


@pytest.mark.parametrize("top_p", [0.3, 0.9])
def test_both_routes_to_top_p_keep_the_same_tokens(top_p: float) -> None:
    """A flat row needs the thresholds; the definition decides what they may keep."""
    row = make_row({"top_p": top_p})
    logits = gaussian(1, 4 * CANDIDATES, scale=0.1)
    kept = reference_kept(reference_weights(logits[0].tolist(), row.params), row.params)
    assert len(kept) > CANDIDATES
    drawn = draw(logits.expand(300, -1), [make_row({"top_p": top_p}, seed=i) for i in range(300)])
    assert set(drawn) <= set(kept)


@pytest.mark.parametrize("ties", [1, 3, 30])
@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_top_p_between_ties_is_decided_to_the_last_bit(ties: int, nudge: int) -> None:
    """One heavy token and 599 equal ones; top_p lies at, or a bit beside, the end of a tie."""
    logits = torch.full((1, 600), -1.0)
    logits[0, 300] = 0.7
    weights = reference_weights(logits[0].tolist(), make_row({}).params)
    top_p = (weights[300] + ties * weights[0]) / sum(weights)
    for _ in range(abs(nudge)):
        top_p = math.nextafter(top_p, nudge)
    kept = reference_kept(weights, make_row({"top_p": top_p}).params)
    rows = [make_row({"top_p": top_p}, seed=i) for i in range(1500)]
    assert sorted(set(draw(logits.expand(1500, -1), rows))) == kept


def test_top_p_at_the_end_of_a_weight_takes_nothing_of_the_next() -> None:
    logits = torch.full((1, 600), -1.0)
    logits[0, 300:] = 0.0
    weights = reference_weights(logits[0].tolist(), make_row({}).params)
    top_p = sum(weights[300:]) / sum(weights)
    assert top_p * sum(weights) == sum(weights[300:])
    rows = [make_row({"top_p": top_p}, seed=i) for i in range(3000)]
    assert min(draw(logits.expand(3000, -1), rows)) >= 300


def test_sums_of_token_weights_are_exact() -> None:
    logits = gaussian(4, 5000, scale=5.0)
    temperature = torch.tensor([0.5, 1.0, 3.0, 100.0])
    weights = token_weights(logits, logits.amax(dim=-1), temperature).to(torch.float64)
    steps = weights * STEPS_PER_UNIT
    assert torch.equal(steps, steps.round())
    assert weights.amax(dim=-1).tolist() == [1.0] * 4
    exact = ((logits - logits.amax(dim=-1, keepdim=True)) / temperature[:, None]).double().exp()
    assert (weights - exact).abs().max() < 2.0**-22


@pytest.mark.parametrize("columns", [3, 200, 5000])
def test_the_largest_and_the_smallest_noise_pick_tokens_with_weight(columns: int) -> None:
    weights = torch.zeros(2, columns)
    weights[:, 1 : columns - 1] = 1.0
    noise = torch.tensor([0.0, 1.0 - 2.0**-53], dtype=torch.float64)
    assert draw_column(weights, noise).tolist() == [1, columns - 2]


def chi_square(counts: Counter[int], probabilities: list[float], draws: int) -> float:
    return sum(
        (counts[token] - draws * p) ** 2 / (draws * p) for token, p in enumerate(probabilities) if p
    )


# The 1 - 1e-5 quantile of chi-square with 7 degrees of freedom is 35.
CHI_SQUARE_LIMIT = 35.0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_over_seeds(temperature: float) -> None:
    logits = gaussian(1, 8)
    rows = [make_row({"temperature": temperature}, seed=seed) for seed in range(8000)]
    counts = Counter(draw(logits.expand(8000, -1), rows))
    expected = torch.softmax(logits[0] / temperature, dim=0).tolist()
    assert chi_square(counts, expected, 8000) < CHI_SQUARE_LIMIT


def test_draws_follow_the_softmax_over_positions() -> None:
    logits = gaussian(1, 8)
    rows = [make_row({}, seed=7, output=range(n)) for n in range(2000)]
    counts = Counter(draw(logits.expand(2000, -1), rows))
    expected = torch.softmax(logits[0], dim=0).tolist()
    assert chi_square(counts, expected, 2000) < CHI_SQUARE_LIMIT


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"top_k": 3}, [0.4, 0.3, 0.1]),
        ({"top_p": 0.7}, [0.4, 0.3]),
        ({"top_p": 0.71}, [0.4, 0.3, 0.1]),
        ({"top_k": 2, "top_p": 0.6}, [0.4, 0.3]),
        ({"top_k": 2, "top_p": 0.5}, [0.4]),
        ({"min_p": 0.3}, [0.4, 0.3]),
        ({"min_p": 0.2}, [0.4, 0.3, 0.1]),
    ],
)
def test_filters_renormalise_what_they_keep(raw: dict[str, Any], kept: list[float]) -> None:
    # Slightly apart, so that rounding decides no comparison.
    probabilities = torch.tensor([0.4, 0.3001, 0.0999, 0.08, 0.06, 0.06], dtype=torch.float64)
    logits = probabilities.log().to(torch.float32)[None]
    counts = Counter(draw(logits.expand(4000, -1), [make_row(raw, seed=i) for i in range(4000)]))
    expected = [p / sum(kept) for p in kept]
    assert set(counts) == set(range(len(kept)))
    assert chi_square(counts, expected, 4000) < CHI_SQUARE_LIMIT


def test_top_k_keeps_no_more_than_k_of_equal_tokens() -> None:
    rows = [make_row({"top_k": 3}, seed=i) for i in range(200)]
    assert set(draw(torch.zeros(200, 1000), rows)) == {0, 1, 2}


def test_the_lower_id_wins_a_greedy_tie() -> None:
    logits = torch.zeros(1, 5000)
    logits[0, [4999, 4321, 77]] = 1.0
    assert draw(logits, [make_row({"temperature": 0})]) == [77]


@pytest.mark.parametrize("raw", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-12}, {"min_p": 1}])
def test_extremes_take_the_best_token(raw: dict[str, Any]) -> None:
    logits = gaussian(20, 3000)
    rows = [make_row(raw, seed=i) for i in range(20)]
    assert draw(logits, rows) == logits.argmax(dim=-1).tolist()


def test_masked_tokens_are_never_drawn() -> None:
    logits = torch.full((300, 1000), -torch.inf)
    logits[:, [5, 500, 999]] = 1.0
    rows = [make_row(WIDE_CASES[i % 5], seed=i) for i in range(300)]
    assert set(draw(logits, rows)) == {5, 500, 999}


@pytest.mark.parametrize("temperature", [2e-6, 1e6])
def test_any_temperature_gives_a_token(temperature: float) -> None:
    logits = gaussian(50, 300, scale=1e4)
    rows = [make_row({"temperature": temperature}, seed=i) for i in range(50)]
    assert all(0 <= token < 300 for token in draw(logits, rows))


@pytest.mark.parametrize("size", [600, 5003])
@pytest.mark.parametrize("poison", ["nan", "nan last", "inf", "all -inf"])
def test_a_broken_row_is_marked_and_disturbs_no_other(poison: str, size: int) -> None:
    cases: list[dict[str, Any]] = [{"temperature": 0}, *WIDE_CASES]
    rows = [make_row(raw, seed=i) for i, raw in enumerate(cases) for _ in range(2)]
    logits = gaussian(len(rows), size)
    expected = draw(logits, rows)
    broken: dict[str, tuple[int | slice, float]] = {
        "nan": (3, torch.nan),
        "nan last": (-1, torch.nan),
        "inf": (3, torch.inf),
        "all -inf": (slice(None), -torch.inf),
    }
    where, value = broken[poison]
    logits[::2, where] = value
    expected[::2] = [INVALID_TOKEN] * len(cases)
    assert draw(logits, rows) == expected


def test_a_greedy_batch_has_nothing_but_an_argmax_to_do() -> None:
    rows = [make_row({"temperature": 0, "top_p": 0.5, "min_p": 0.2}), make_row({"top_k": 1})]
    batch = make_sampling_batch(rows, 100, "cpu")
    assert batch.greedy
    assert (batch.groups, batch.edits) == ([], None)


@pytest.mark.parametrize(
    "raw", [{}, {"temperature": 0, "presence_penalty": 1}, {"temperature": 0, "logit_bias": {1: 1}}]
)
def test_a_batch_with_one_other_row_is_not_greedy(raw: dict[str, Any]) -> None:
    batch = make_sampling_batch([make_row({"temperature": 0}), make_row(raw)], 100, "cpu")
    assert not batch.greedy


@pytest.mark.parametrize(
    ("raw", "route"),
    [
        ({}, Route.UNFILTERED),
        ({"min_p": 0.1}, Route.UNFILTERED),
        ({"top_k": 5000}, Route.UNFILTERED),
        ({"top_k": 20}, Route.CANDIDATES),
        ({"top_p": 0.9}, Route.CANDIDATES),
        ({"top_k": 3000}, Route.THRESHOLD),
    ],
)
def test_rows_take_the_cheapest_route(raw: dict[str, Any], route: Route) -> None:
    [group] = make_sampling_batch([make_row(raw)], 5000, "cpu").groups
    assert group.route is route


def test_a_small_vocabulary_is_all_candidates() -> None:
    [group] = make_sampling_batch([make_row({"top_k": 200})], 250, "cpu").groups
    assert group.route is Route.CANDIDATES


def test_logits_of_the_wrong_shape_are_refused() -> None:
    batch = make_sampling_batch([make_row({})], 100, "cpu")
    with pytest.raises(ValueError, match=r"\(1, 99\) do not fit a batch of \[1, 100\]"):
        sample(torch.zeros(1, 99), batch)
