"""How many tokens of an answer were reasoning."""

from __future__ import annotations

from sglang.srt.managers.request_builder import PROMPT_TAIL
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

_BLOCK = 256


def count_tokens(
    state: SequenceState, chars: int, tokenizer: Tokenizer, visible_special_ids: frozenset[int]
) -> int:
    """The tokens of a finished sequence that spell the first ``chars`` characters of its text.

    Args:
        state: What was generated.
        chars: Where in the text the reasoning ends, its tags included.
        tokenizer: That of the model.
        visible_special_ids: As the sequence was decoded.
    """
    if chars == 0:
        return 0
    if chars >= len(state.text):
        return len(state.token_ids)
    blocks = _first_reaching(state, 0, _BLOCK, chars, tokenizer, visible_special_ids)
    start = (blocks - 1) * _BLOCK
    return start + _first_reaching(state, start, 1, chars, tokenizer, visible_special_ids)


def _first_reaching(
    state: SequenceState,
    start: int,
    step: int,
    chars: int,
    tokenizer: Tokenizer,
    visible_special_ids: frozenset[int],
) -> int:
    """How many steps of ``step`` tokens from ``start`` on it takes to have ``chars`` characters."""
    params = state.message.sampling
    detokenizer = IncrementalDetokenizer(
        tokenizer,
        state.prompt_ids[-PROMPT_TAIL:].tolist(),
        skip_special_tokens=params.skip_special_tokens,
        spaces_between_special_tokens=params.spaces_between_special_tokens,
        visible_special_ids=visible_special_ids,
    )
    length = len(detokenizer.push(state.token_ids[:start]))
    steps = 0
    for i in range(start, len(state.token_ids), step):
        if length >= chars:
            break
        length += len(detokenizer.push(state.token_ids[i : i + step]))
        steps += 1
    return steps
