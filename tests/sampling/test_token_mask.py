"""With a grammar, a token is chosen as if the logits of all others were -inf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.sampling.sampler import INVALID_TOKEN, make_sampling_batch, sample
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.sampling.sampling_row import SamplingRow

VOCAB = 70
EOS = 3


class Fixed:
    """A grammar that allows the same tokens everywhere. Implements ``grammar.GrammarState``."""

    error = ""
    is_finished = False

    def __init__(self, tokens: set[int]) -> None:
        self.tokens = tokens

    def fill_mask(self, row: np.ndarray) -> None:
        bits = np.zeros(len(row) * 32, dtype=np.uint8)
        bits[list(self.tokens)] = 1
        row[:] = np.packbits(bits, bitorder="little").view(np.int32)

    def allows(self, token: int) -> bool:
        return token in self.tokens


def make_row(tokens: set[int] | None, output: int = 0, **params: Any) -> SamplingRow:
    return SamplingRow(
        SamplingParams(**params),
        seed=params.get("seed", 0),
        prompt_ids=np.array([5, 6], dtype=np.int32),
        output_ids=[7] * output,
        stop_ids=[EOS, 4],
        eos_ids=[EOS],
        grammar=None if tokens is None else Fixed(tokens),
    )


def choose(logits: torch.Tensor, rows: list[SamplingRow]) -> list[int]:
    return sample(logits, make_sampling_batch(rows, logits.shape[1], "cpu")).tolist()


SAMPLINGS = st.sampled_from(
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "seed": 5},
        {"temperature": 0.7, "top_k": 3, "seed": 1},
        {"temperature": 1.3, "top_p": 0.6, "min_p": 0.1, "seed": 2},
        {"temperature": 0.0, "presence_penalty": 1.5, "logit_bias": {9: 5.0}},
    ]
)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.sets(st.integers(0, VOCAB - 1), min_size=1)), SAMPLINGS),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 99))
def test_the_choice_is_that_among_the_allowed_tokens(rows: list[Any], seed: int) -> None:
    # Few different values, so that there are ties.
    logits = torch.randint(-3, 4, (len(rows), VOCAB), generator=torch.Generator().manual_seed(seed))
    logits = logits.to(torch.float32)
    masked = logits.clone()
    for i, (tokens, _) in enumerate(rows):
        if tokens is not None:
            masked[i, [t for t in range(VOCAB) if t not in tokens]] = -torch.inf
    expected = choose(masked, [make_row(None, **params) for _, params in rows])
    assert choose(logits, [make_row(tokens, **params) for tokens, params in rows]) == expected


def test_rows_without_a_grammar_keep_their_logits() -> None:
    logits = torch.randn(3, VOCAB)
    before = logits.clone()
    rows = [make_row(None), make_row({1, 2}), make_row(None, temperature=0.0)]
    choose(logits, rows)
    assert torch.equal(logits[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_for_which_nothing_may_come_has_no_token(temperature: float) -> None:
    rows = [make_row(set(), temperature=temperature), make_row({8}, temperature=temperature)]
    assert choose(torch.randn(2, VOCAB), rows) == [INVALID_TOKEN, 8]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    ("params", "allowed", "expected"),
    [
        ({"min_new_tokens": 2}, {EOS, 8}, 8),
        ({"min_new_tokens": 2}, {4, 8}, 8),
        ({"min_new_tokens": 2}, {EOS, 4}, EOS),  # the grammar can only end
        ({"min_new_tokens": 1}, {EOS, 8}, EOS),
        ({"ignore_eos": True}, {EOS, 8}, 8),
        ({"ignore_eos": True}, {EOS}, EOS),
        ({"ignore_eos": True}, {4, 8}, 4),
    ],
)
def test_ends_wait_as_long_as_something_else_may_come(
    params: dict[str, Any], allowed: set[int], expected: int, temperature: float
) -> None:
    logits = torch.zeros(1, VOCAB)
    logits[0, EOS], logits[0, 4] = 60.0, 30.0
    row = make_row(allowed, output=1, temperature=temperature, **params)
    assert choose(logits, [row]) == [expected]
