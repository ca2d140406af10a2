"""Reasoning around a grammar: free until its end, then the grammar, and never past its budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sglang.srt.constrained.reasoning import ReasoningState
from sglang.srt.sampling.reasoning_span import ReasoningSpan

VOCAB = 70
START, EOS = 1, 2
END = [3, 4]
EVEN = range(40, VOCAB, 2)


class EvenTokens:
    """An answer of three even tokens from 40 on; 40 is forced at first."""

    error = ""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @property
    def is_finished(self) -> bool:
        return len(self.seen) == 3

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        row[:] = 0
        for token in EVEN if self.seen else [40]:
            row.view(np.uint32)[token >> 5] |= np.uint32(1 << (token & 31))

    def allows(self, token: int) -> bool:
        return token in EVEN if self.seen else token == 40

    def accept(self, token: int) -> bool:
        if not self.allows(token):
            self.error = "odd"
            return False
        self.seen.append(token)
        return True

    def forced_tokens(self) -> list[int]:
        return [] if self.seen else [40]

    def rollback(self, count: int) -> None:
        del self.seen[len(self.seen) - count :]


def make(answer: bool = True, **span: Any) -> ReasoningState:
    fields = {"inside": True, "start": START, "end": END, "close": [9, *END], **span}
    state = ReasoningState(ReasoningSpan(**fields), {EOS})
    if answer:
        state.then(EvenTokens())
    return state


def allowed(state: ReasoningState) -> set[int]:
    row = np.empty((VOCAB + 31) // 32, dtype=np.int32)
    state.fill_mask(row)
    bits = {t for t in range(VOCAB) if row.view(np.uint32)[t >> 5] >> np.uint32(t & 31) & 1}
    assert bits == {t for t in range(VOCAB) if state.allows(t)}
    return bits


def feed(state: ReasoningState, *tokens: int) -> ReasoningState:
    for token in tokens:
        assert state.accept(token)
    return state


EVERYTHING = set(range(VOCAB))


def test_reasoning_is_free_but_cannot_end_the_output() -> None:
    state = feed(make(), 5, 6, 3)
    assert allowed(state) == EVERYTHING - {EOS}
    assert state.forced_tokens() == []
    assert not state.is_finished


def test_the_grammar_is_for_what_follows() -> None:
    state = feed(make(), 5, *END)
    assert allowed(state) == {40}
    assert state.forced_tokens() == [40]
    feed(state, 40, 44)
    assert allowed(state) == set(EVEN)
    assert feed(state, 42).is_finished


def test_what_the_grammar_forbids_is_refused_with_its_words() -> None:
    state = feed(make(), *END)
    assert not state.accept(41)
    assert state.error == "odd"


def test_an_answer_may_begin_with_the_tag_or_without_reasoning() -> None:
    assert allowed(make(inside=False)) == {START, 40}
    assert allowed(feed(make(inside=False), START)) == EVERYTHING - {EOS}
    assert allowed(feed(make(inside=False), 40)) == set(EVEN)
    assert allowed(make(inside=False, start=None)) == {40}


def test_a_spent_budget_leaves_nothing_but_the_end() -> None:
    state = feed(make(budget=2), 5, 6)
    assert allowed(state) == {9}
    assert state.forced_tokens() == [9, *END]
    assert allowed(feed(state, 9)) == {3}
    assert allowed(feed(state, *END)) == {40}


def test_the_tag_is_not_part_of_the_budget() -> None:
    state = feed(make(budget=1, inside=False), START)
    assert allowed(state) == EVERYTHING - {EOS}
    assert allowed(feed(state, 5)) == {9}


def test_without_a_grammar_there_is_just_the_budget() -> None:
    state = make(answer=False, budget=0)
    assert state.forced_tokens() == [9, *END]
    assert allowed(feed(state, 9, *END)) == EVERYTHING
    assert state.forced_tokens() == []
    assert not feed(state, EOS).is_finished


def test_an_end_of_its_own_comes_before_the_budget() -> None:
    state = feed(make(budget=5), 5, *END, 40, 44)
    assert allowed(state) == set(EVEN)


@settings(max_examples=200, deadline=None)
@given(
    inside=st.booleans(),
    budget=st.none() | st.integers(0, 4),
    picks=st.lists(st.integers(0, 1000), max_size=12),
    count=st.integers(0, 12),
)
def test_rollback_leads_back(
    inside: bool, budget: int | None, picks: list[int], count: int
) -> None:
    state, tokens = make(inside=inside, budget=budget), []
    for pick in picks:
        if state.is_finished:
            break
        choices = sorted(allowed(state) & {START, 3, 4, 5, 9, 40, 42})
        tokens.append(choices[pick % len(choices)])
        feed(state, tokens[-1])
    count = min(count, len(tokens))
    state.rollback(count)
    again = feed(make(inside=inside, budget=budget), *tokens[: len(tokens) - count])
    assert allowed(state) == allowed(again)
    assert state.forced_tokens() == again.forced_tokens()
    assert state.is_finished == again.is_finished


@pytest.mark.parametrize("token", [0, 31, 32, 63, 69])
def test_bits_at_the_edges_of_words(token: int) -> None:
    assert allowed(make(budget=0, close=[token, *END])) == {token}
