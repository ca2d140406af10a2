"""Which option each choices method takes."""

from __future__ import annotations

import pytest

from sglang.lang.choices import (
    Option,
    Scores,
    greedy_token_selection,
    token_length_normalized,
    unconditional_likelihood_normalized,
)


def scores(*rows: list[float], ids: list[list[int]] | None = None, alone=None) -> Scores:
    """Options "0", "1" ... with these logprobs; their tokens differ unless ``ids`` says more."""
    if ids is None:
        ids = [
            [10 * number + place for place in range(len(row))] for number, row in enumerate(rows)
        ]
    options = [Option(str(n), ids[n], row) for n, row in enumerate(rows)]

    def unconditional():
        assert alone is not None, "nobody needs the unconditional logprobs here"
        return alone

    return Scores(options, unconditional)


def test_the_average_of_all_tokens_decides_by_length() -> None:
    decision = token_length_normalized(scores([-1.0, -3.0], [-1.5], [-0.5, -0.5, -8.0]))
    assert decision.index == 1
    assert decision.meta_info["normalized_prompt_logprobs"] == [-2.0, -1.5, -3.0]


def test_a_likely_end_helps_a_long_option() -> None:
    assert token_length_normalized(scores([-1.0], [-4.0, -0.01, -0.01, -0.01, -0.01])).index == 1


def test_greedy_takes_the_best_first_token() -> None:
    assert greedy_token_selection(scores([-1.0, -9.0], [-2.0, -0.1])).index == 0


def test_greedy_goes_on_with_the_next_token_where_options_begin_alike() -> None:
    same_start = [[1, 2], [1, 3], [4, 5]]
    rows = ([-1.0, -3.0], [-1.0, -2.0], [-1.5, 0.0])
    assert greedy_token_selection(scores(*rows, ids=same_start)).index == 1


@pytest.mark.parametrize(("further", "chosen"), [(-0.5, 1), (-3.0, 0)])
def test_greedy_extends_a_shorter_option_by_its_average(further: float, chosen: int) -> None:
    contained = [[1, 2], [1, 2, 3]]
    rows = ([-1.0, -2.0], [-1.0, -2.0, further])  # the short one goes on with -1.5
    assert greedy_token_selection(scores(*rows, ids=contained)).index == chosen


def test_unconditional_takes_what_the_prompt_makes_likelier() -> None:
    rows = ([-1.0, -1.0], [-2.0])
    decision = unconditional_likelihood_normalized(scores(*rows, alone=[[-1.0, -2.0], [-9.0]]))
    assert decision.index == 1
    assert decision.meta_info["normalized_prompt_logprobs"] == [0.5, 7.0]


@pytest.mark.parametrize(
    "method",
    [token_length_normalized, greedy_token_selection, unconditional_likelihood_normalized],
)
def test_a_single_option_is_taken(method) -> None:
    assert method(scores([-5.0], alone=[[-1.0]])).index == 0
