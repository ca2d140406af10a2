"""Reasoning before an answer: free, perhaps of bounded length; the grammar is for what follows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.grammar import GrammarState
from sglang.srt.sampling.reasoning_span import ReasoningSpan


class ReasoningState:
    """Implements ``grammar.GrammarState`` around that of the answer."""

    def __init__(self, span: ReasoningSpan, eos_ids: Collection[int]) -> None:
        """``eos_ids`` may not end an answer that has to obey a grammar before it has begun."""
        self._span = span
        self._eos_ids = eos_ids
        self._answer: GrammarState | None = None
        self._reasoning: list[int] = []
        """Tokens up to the answer, tags included."""
        self._num_answered = 0
        self._error = ""

    def then(self, answer: GrammarState) -> None:
        """The answer has to obey a grammar."""
        self._answer = answer

    @property
    def error(self) -> str:
        return self._error or ("" if self._answer is None else self._answer.error)

    @property
    def is_finished(self) -> bool:
        answer = self._answer
        return answer is not None and self._place() == "answer" and answer.is_finished

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        place, closing = self._place(), self._closing()
        if place == "reasoning":
            row[:] = 0 if closing else -1
            if closing:
                _set_bit(row, closing[0], True)
            elif self._answer is not None:
                for token in self._eos_ids:
                    _set_bit(row, token, False)
            return
        if self._answer is None:
            row[:] = -1
            return
        self._answer.fill_mask(row)
        if place == "start" and self._span.start is not None:
            _set_bit(row, self._span.start, True)

    def allows(self, token: int) -> bool:
        place, closing = self._place(), self._closing()
        if closing:
            return token == closing[0]
        if place == "reasoning":
            return self._answer is None or token not in self._eos_ids
        if place == "start" and token == self._span.start:
            return True
        return self._answer is None or self._answer.allows(token)

    def accept(self, token: int) -> bool:
        if not self._is_reasoning(token):
            if self._answer is not None and not self._answer.accept(token):
                return False
            self._num_answered += 1
            return True
        closing = self._closing()
        if closing and token != closing[0]:
            self._error = "the reasoning goes on although its budget is spent"
            return False
        self._reasoning.append(token)
        return True

    def forced_tokens(self) -> list[int]:
        if self._place() == "answer":
            return [] if self._answer is None else self._answer.forced_tokens()
        return self._closing()

    def rollback(self, count: int) -> None:
        answered = min(count, self._num_answered)
        if self._answer is not None and answered:
            self._answer.rollback(answered)
        self._num_answered -= answered
        if count > answered:
            del self._reasoning[answered - count :]

    def _place(self) -> Literal["start", "reasoning", "answer"]:
        """Where the next token goes; from "start" to either of the others."""
        if self._num_answered:
            return "answer"
        if not self._reasoning:
            return "reasoning" if self._span.inside else "start"
        end = self._span.end
        return "answer" if self._reasoning[-len(end) :] == end else "reasoning"

    def _is_reasoning(self, token: int) -> bool:
        place = self._place()
        return place == "reasoning" or (place == "start" and token == self._span.start)

    def _closing(self) -> list[int]:
        """What is left to write of the end, once the budget is spent."""
        if self._span.budget is None or self._place() != "reasoning":
            return []
        over = len(self._reasoning) - (not self._span.inside) - self._span.budget
        return self._span.close[over:] if over >= 0 else []


def _set_bit(row: NDArray[np.int32], token: int, value: bool) -> None:
    word = row.view(np.uint32)[token >> 5 : (token >> 5) + 1]
    bit = np.uint32(1 << (token & 31))
    if value:
        word |= bit
    else:
        word &= ~bit
