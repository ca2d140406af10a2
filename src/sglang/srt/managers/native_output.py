"""The native answer format: what ``/generate`` and ``Engine.generate`` return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.io_struct import TokenLogprobs
from sglang.srt.managers.request_state import RequestGroup, SequenceState

Triple = tuple[float | None, int, str | None]
"""Log-probability, token id, text of the token if it was asked for."""


class _LogprobLists:
    """One run of log-probabilities as lists of triples, extended as tokens arrive."""

    def __init__(self, text_of: Callable[[int], str] | None) -> None:
        self._text_of = text_of
        self.tokens: list[Triple] = []
        self.tops: list[list[Triple] | None] = []

    def extend(self, source: TokenLogprobs | None) -> None:
        """Take in what ``source`` has more than last time."""
        if source is None:
            return
        for i in range(len(self.tokens), len(source.token_ids)):
            self.tokens.append(self._triple(source.logprobs[i], source.token_ids[i]))
            top_ids = source.top_ids[i] if i < len(source.top_ids) else []
            pairs = zip(source.top_logprobs[i], top_ids, strict=True) if top_ids else ()
            self.tops.append([self._triple(logprob, token) for logprob, token in pairs] or None)

    def _triple(self, logprob: float | None, token: int) -> Triple:
        return logprob, token, self._text_of(token) if self._text_of else None


class NativeOutput:
    """Formats the sequences of one request; chunks of a stream are cumulative."""

    def __init__(self, group: RequestGroup, text_of: Callable[[int], str] | None = None) -> None:
        self._with_index = not group.is_single
        self._input = [_LogprobLists(text_of) for _ in group.states]
        self._output = [_LogprobLists(text_of) for _ in group.states]

    def chunk(self, state: SequenceState) -> dict[str, Any]:
        """A piece of a stream; in a batch it says which sequence it belongs to."""
        output = self.answer(state)
        if self._with_index:
            output["index"] = state.index
        return output

    def answer(self, state: SequenceState) -> dict[str, Any]:
        """The sequence as it stands."""
        meta: dict[str, Any] = {
            "id": state.rid,
            "finish_reason": state.finish,
            "prompt_tokens": len(state.prompt_ids),
            "completion_tokens": len(state.token_ids),
            "cached_tokens": state.cached_tokens,
        }
        if state.message.return_logprob:
            self._add_logprobs(meta, state)
        if state.message.return_hidden_states and state.finish is not None:
            meta["hidden_states"] = _hidden_states(state)
        if state.detokenizer is None:
            return {"token_ids": list(state.token_ids), "meta_info": meta}
        return {"text": state.text, "meta_info": meta}

    def _add_logprobs(self, meta: dict[str, Any], state: SequenceState) -> None:
        given, made = self._input[state.index], self._output[state.index]
        given.extend(state.input_logprobs)
        made.extend(state.output_logprobs)
        meta["input_token_logprobs"] = list(given.tokens)
        meta["output_token_logprobs"] = list(made.tokens)
        if state.message.top_logprobs_num:
            meta["input_top_logprobs"] = list(given.tops)
            meta["output_top_logprobs"] = list(made.tops)


def _hidden_states(state: SequenceState) -> list[NDArray[np.float32]]:
    """[prompt, H] of the prompt, then [H] of each token of the answer that another one follows."""
    if not state.hidden_states:
        return []
    values = np.concatenate(state.hidden_states)
    length = len(state.prompt_ids)
    return [values[:length], *values[length : length + max(len(state.token_ids) - 1, 0)]]
