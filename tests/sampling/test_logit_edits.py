"""Penalties, biases and minimum lengths against their definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.sampling.logit_edits import MIN_REPETITION_DIVISOR, edited, make_logit_edits
from sglang.srt.sampling.sampler import SamplingRow
from tests.sampling.sampling_reference import draw, make_row, reference_logits

VOCAB_SIZE = 12
tokens = st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=20)
penalty = st.sampled_from([-2.0, -0.3, 0.0, 0.7, 2.0])
parameters = st.fixed_dictionaries(
    {},
    optional={
        "frequency_penalty": penalty,
        "presence_penalty": penalty,
        "repetition_penalty": st.sampled_from([0.5, 1.0, 1.3, 2.0]),
        "logit_bias": st.dictionaries(
            st.integers(0, VOCAB_SIZE - 1), st.floats(-100, 100), max_size=4
        ),
        "min_new_tokens": st.integers(0, 10),
    },
)


def apply(logits: torch.Tensor, rows: list[SamplingRow]) -> torch.Tensor:
    edits = make_logit_edits(rows, logits.shape[1], logits.device)
    with edited(logits, edits) as scores:
        return scores.clone()


def one(raw: dict[str, Any], values: list[float], **row: Any) -> list[float]:
    edited_values: list[float] = apply(torch.tensor([values]), [make_row(raw, **row)])[0].tolist()
    return edited_values


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(parameters, tokens, tokens, tokens), min_size=1, max_size=5))
def test_equals_the_definitions(
    cases: list[tuple[dict[str, Any], list[int], list[int], list[int]]],
) -> None:
    rows = [make_row(raw, prompt=p, output=o, stop_ids=s) for raw, p, o, s in cases]
    logits = torch.randn(len(rows), VOCAB_SIZE, generator=torch.Generator().manual_seed(0)) * 3
    before = logits.clone()
    scores = apply(logits, rows)
    assert scores.tolist() == [reference_logits(x, r) for x, r in zip(before, rows, strict=True)]
    assert torch.equal(logits, before)


def test_frequency_counts_each_occurrence_in_the_output() -> None:
    assert one({"frequency_penalty": 0.5}, [1.0, 1.0, 1.0], prompt=[2], output=[0, 0, 1]) == [
        0.0,
        0.5,
        1.0,
    ]


def test_presence_counts_a_token_of_the_output_once() -> None:
    assert one({"presence_penalty": 0.5}, [1.0, 1.0, 1.0], prompt=[2], output=[0, 0, 1]) == [
        0.5,
        0.5,
        1.0,
    ]


def test_repetition_divides_above_zero_and_multiplies_below() -> None:
    scores = one({"repetition_penalty": 2.0}, [4.0, -4.0, 4.0, -4.0], prompt=[0], output=[1, 1])
    assert scores == [2.0, -8.0, 4.0, -4.0]


def test_repetition_is_applied_before_the_subtracted_penalties_and_the_bias() -> None:
    raw = {"repetition_penalty": 2.0, "presence_penalty": 1.0, "logit_bias": {"0": 10}}
    assert one(raw, [4.0], output=[0]) == [11.0]


def test_repetition_penalty_zero_is_a_strong_wish_to_repeat() -> None:
    scores = one({"repetition_penalty": 0}, [1.0, -1.0, 50.0], prompt=[0, 1])
    assert scores[0] == pytest.approx(1.0 / MIN_REPETITION_DIVISOR)
    assert scores[1] == pytest.approx(-MIN_REPETITION_DIVISOR)
    assert scores[2] == 50.0


def test_stop_tokens_are_banned_until_the_minimum_is_reached() -> None:
    raw = {"min_new_tokens": 2, "temperature": 0}
    logits = torch.tensor([[0.0, 5.0, 4.0, 3.0]])
    tokens = [
        draw(logits, [make_row(raw, output=[3] * n, stop_ids=[1, 2])])[0] for n in (0, 1, 2, 3)
    ]
    assert tokens == [3, 3, 1, 1]


def test_a_ban_is_stronger_than_a_bias() -> None:
    raw = {"min_new_tokens": 1, "logit_bias": {"1": 100}, "temperature": 0}
    assert draw(torch.zeros(1, 3), [make_row(raw, stop_ids=[1])]) == [0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_bias_forces_and_forbids(temperature: float) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    forced = make_row({"logit_bias": {"0": 100}, "temperature": temperature})
    forbidden = make_row({"logit_bias": {"2": -100, "1": -100}, "temperature": temperature})
    assert draw(logits.expand(2, -1).clone(), [forced, forbidden]) == [0, 0]


def test_tokens_without_a_logit_are_passed_over() -> None:
    """Placeholders of images in a prompt, an EOS that the model's last layer lacks."""
    raw = {"repetition_penalty": 2.0, "min_new_tokens": 1, "frequency_penalty": 1.0}
    row = make_row(raw, prompt=[0, 1_000_000, -5], stop_ids=[2, 77])
    other = make_row({"temperature": 0})
    scores = apply(torch.ones(2, 3), [row, other])
    assert scores.tolist() == [[0.5, 1.0, -torch.inf], [1.0, 1.0, 1.0]]


def test_logits_are_restored_even_after_an_error() -> None:
    logits = torch.ones(1, 3)
    edits = make_logit_edits([make_row({"logit_bias": {"0": 5}})], 3, logits.device)
    with pytest.raises(RuntimeError, match="from inside"), edited(logits, edits) as scores:
        assert scores[0, 0] == 6.0
        raise RuntimeError("from inside")
    assert logits.tolist() == [[1.0, 1.0, 1.0]]


def test_neutral_parameters_need_no_edits() -> None:
    row = make_row({"repetition_penalty": 1.0, "frequency_penalty": 0, "min_new_tokens": 0})
    assert make_logit_edits([row], 3, torch.device("cpu")) is None


def test_nothing_is_left_to_edit_after_the_minimum_length() -> None:
    row = make_row({"min_new_tokens": 2}, output=[0, 0], stop_ids=[1])
    assert make_logit_edits([row], 3, torch.device("cpu")) is None


def test_many_different_tokens_are_counted() -> None:
    row = make_row({"frequency_penalty": 1.0}, output=[*range(500), *range(250)])
    scores = apply(torch.zeros(1, 600), [row])[0].tolist()
    assert scores == [-2.0] * 250 + [-1.0] * 250 + [0.0] * 100
