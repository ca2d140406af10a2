"""The log-probabilities of several continuations of one prompt, from a native endpoint.

Three requests: the prompt alone, which fills the prefix cache and says how long it is; all
continuations at once, which share that prefix; and, if it is asked for, the continuations without
the prompt.

Tokens need not begin where the continuation does: its first letters may merge with the end of the
prompt. So the last tokens of the prompt are read again, and what counts begins at the first token
in which any of the continuations departs from the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sglang.lang.choices import Option, Scores

Body = dict[str, Any]

READ_AGAIN = 4
"""Tokens at the end of the prompt that are looked at; all, if a difference begins before them."""


class Ask(Protocol):
    """Sends a ``/generate`` body and returns the answers, one a prompt."""

    def __call__(self, **fields: Any) -> list[Body]: ...


def score_choices(ask: Ask, prompt: str, choices: Sequence[str]) -> tuple[Scores, Body]:
    """The scores of ``choices`` after ``prompt``, and figures for people."""
    alone = ask(text=prompt, sampling_params={"max_new_tokens": 0})
    figures = alone[0]["meta_info"]
    length = figures["prompt_tokens"]
    texts = [prompt, *(prompt + choice for choice in choices)]
    start = max(length - READ_AGAIN, 0)
    tokens = _tokens(ask, start, text=texts)
    begin = _first_difference(tokens)
    if begin == 0 and start > 0:
        tokens = _tokens(ask, 0, text=texts)
        begin = _first_difference(tokens)
    begin = max(begin, 1)  # the first token of all has no probability
    options = [
        Option(choice, [token for _, token in row[begin:]], [value for value, _ in row[begin:]])
        for choice, row in zip(choices, tokens[1:], strict=True)
    ]

    def unconditional() -> list[list[float]]:
        before = tokens[0][begin - 1][1]
        rows = _tokens(ask, 0, input_ids=[[before, *option.token_ids] for option in options])
        return [[value for value, _ in row[1:]] for row in rows]

    meta_info = {
        "prompt_tokens": length,
        **{name: figures[name] for name in ("cached_tokens",) if name in figures},
        "input_token_logprobs": [
            list(zip(option.logprobs, option.token_ids, strict=True)) for option in options
        ],
    }
    return Scores(options, unconditional), meta_info


def _tokens(ask: Ask, start: int, **prompts: Any) -> list[list[tuple[float, int]]]:
    """Logprob and id of each token of the prompts from position ``start`` on."""
    answers = ask(
        **prompts,
        sampling_params={"max_new_tokens": 0},
        return_logprob=True,
        logprob_start_len=start,
    )
    rows = [answer["meta_info"]["input_token_logprobs"] for answer in answers]
    # Nothing precedes the first token of all, so it has no probability.
    return [[(0.0 if value is None else value, token) for value, token, *_ in r] for r in rows]


def _first_difference(rows: Sequence[Sequence[tuple[float, int]]]) -> int:
    """The first position at which the other rows are not as the first one, or that ends."""
    prompt, *others = rows
    for position, (_, token) in enumerate(prompt):
        if any(position >= len(row) or row[position][1] != token for row in others):
            return position
    return len(prompt)
