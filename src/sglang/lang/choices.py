"""How one of several texts is chosen: by the probabilities that the model gives to their tokens.

A choices method is a function from :class:`Scores` to a :class:`Decision`. The logprob of a token
is that of the token after the prompt and the tokens of the option in front of it. Options are
compared on the same ground: the first token that counts is the same position for all of them, the
first at which one of them departs from the tokens of the prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """A text that may be chosen, and its tokens."""

    text: str
    token_ids: Sequence[int]
    logprobs: Sequence[float]


@dataclass(frozen=True)
class Scores:
    """What there is to decide by."""

    options: Sequence[Option]
    unconditional: Callable[[], Sequence[Sequence[float]]]
    """Asks for the logprobs of the options' tokens without the prompt: another request."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The index of the option chosen, and the figures behind it."""

    index: int
    meta_info: dict[str, Any] = field(default_factory=dict)


ChoicesMethod = Callable[[Scores], Decision]


def token_length_normalized(scores: Scores) -> Decision:
    """The option with the highest average logprob of its tokens: sum(logprobs) / tokens.

    A long option whose end follows from its beginning gets a high average, deserved or not.
    """
    return _highest([_mean(option.logprobs) for option in scores.options])


def greedy_token_selection(scores: Scores) -> Decision:
    """The option that greedy decoding would run into: the best first token, then the best second.

    At each position the options that go on with the likeliest token stay; the others are out. An
    option that has ended takes part with its average logprob, at every further position.
    """
    left = list(range(len(scores.options)))
    position = 0
    while len(left) > 1:
        heads = {index: _head(scores.options[index], position) for index in left}
        best = max(left, key=lambda index: heads[index][1])
        left = [index for index in left if heads[index][0] == heads[best][0]]
        position += 1
        if all(position >= len(scores.options[index].token_ids) for index in left):
            break
    return Decision(left[0], {"greedy_logprobs": [list(o.logprobs) for o in scores.options]})


def unconditional_likelihood_normalized(scores: Scores) -> Decision:
    """The option that gains most by the prompt: mean(logprobs - unconditional logprobs).

    The unconditional logprob of a token is the one it has without the prompt, after the tokens of
    the option in front of it, and the prompt's last token: a model needs one to start from. See
    Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4.
    """
    unconditional = scores.unconditional()
    gains = [
        _mean([given - alone for given, alone in zip(option.logprobs, base, strict=True)])
        for option, base in zip(scores.options, unconditional, strict=True)
    ]
    decision = _highest(gains)
    decision.meta_info["unconditional_token_logprobs"] = [list(base) for base in unconditional]
    return decision


def _head(option: Option, position: int) -> tuple[int | str, float]:
    """What an option has at a position: its token (one that has ended: itself) and the logprob."""
    if position < len(option.token_ids):
        return option.token_ids[position], option.logprobs[position]
    return option.text, _mean(option.logprobs)


def _highest(values: list[float]) -> Decision:
    return Decision(values.index(max(values)), {"normalized_prompt_logprobs": values})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("-inf")
