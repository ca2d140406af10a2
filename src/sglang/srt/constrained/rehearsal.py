"""Trying a grammar before the engine depends on it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.grammar import CompiledGrammar, GrammarError

STEPS = 16
MAX_STEP_SECONDS = 0.2
"""CPU time for one token: in the engine, everybody would wait so long."""


def rehearse(grammar: CompiledGrammar, vocab_size: int) -> None:
    """Take a few steps along an arbitrary text.

    Raises:
        GrammarError: nothing can be written, the grammar gets stuck, or a step takes too long.
    """
    state = grammar.start()
    row = np.zeros((vocab_size + 31) // 32, dtype=np.int32)
    random = np.random.default_rng(0)
    for _ in range(STEPS):
        before = time.thread_time()
        state.fill_mask(row)
        state.forced_tokens()
        seconds = time.thread_time() - before
        if state.error:
            raise GrammarError(state.error)
        if seconds > MAX_STEP_SECONDS:
            raise GrammarError(
                f"too complex: to find the tokens that may follow takes {seconds:.1f} s each time"
            )
        if not state.accept(int(random.choice(_tokens(row)))) or state.is_finished:
            return


def _tokens(row: NDArray[np.int32]) -> NDArray[np.int64]:
    """The ids whose bits are set."""
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
