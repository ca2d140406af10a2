"""What the sampler has to know about one request, kept for as long as the request lives.

Plain Python and numpy: the scheduler makes these, the model runner turns a step's worth of
them into a :class:`~sglang.srt.sampling.sampling_batch.SamplingBatch`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.sampling.sampling_params import SamplingParams

if TYPE_CHECKING:
    from sglang.srt.constrained.grammar import GrammarState
    from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor


class TokenCounts:
    """Which tokens a request has seen, and how often it produced each of them.

    Updated with the tokens that are new since the last call, so that a step costs O(1) per
    request however long its text is.
    """

    __slots__ = ("_consumed", "_counts", "_index", "_seen_first", "_size", "_tokens")

    def __init__(self, seen_first: NDArray[np.int32]) -> None:
        """``seen_first``: tokens that count as seen, though not as produced (the prompt)."""
        self._seen_first = np.unique(seen_first).astype(np.int64)
        self._size = self._consumed = 0
        self._tokens = self._counts = self._seen_first
        self._index: dict[int, int] = {}
        self._reset()

    def update(self, output_ids: Sequence[int]) -> None:
        """Catches up with ``output_ids``, the whole output so far."""
        if len(output_ids) < self._consumed:
            self._reset()
        for position in range(self._consumed, len(output_ids)):
            self._add(output_ids[position])
        self._consumed = len(output_ids)

    def tokens(self) -> NDArray[np.int64]:
        """[N] distinct seen tokens. A view that the next update may overwrite."""
        return self._tokens[: self._size]

    def counts(self) -> NDArray[np.int64]:
        """[N] how often each was produced; 0 for those of the prompt alone. A view."""
        return self._counts[: self._size]

    def _reset(self) -> None:
        self._size = len(self._seen_first)
        self._tokens = np.concatenate([self._seen_first, np.zeros(64, dtype=np.int64)])
        self._counts = np.zeros(len(self._tokens), dtype=np.int64)
        self._index = {token: i for i, token in enumerate(self._seen_first.tolist())}
        self._consumed = 0

    def _add(self, token: int) -> None:
        slot = self._index.setdefault(token, self._size)
        if slot == self._size:
            if self._size == len(self._tokens):
                self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
                self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._tokens[slot] = token
            self._size += 1
        self._counts[slot] += 1


@dataclass(slots=True, eq=False)
class SamplingRow:
    """How to choose the next token of one request.

    Make it once per request and keep it: it remembers what it has counted. ``output_ids`` is
    the request's own growing list; the draw for its next token depends on nothing but
    ``seed`` and ``len(output_ids)``.
    """

    params: SamplingParams
    seed: int
    """int64."""
    prompt_ids: NDArray[np.int32]
    output_ids: Sequence[int]
    stop_ids: Collection[int]
    """Ids that may not be chosen before ``min_new_tokens``: EOS and ``stop_token_ids``."""
    eos_ids: Collection[int] = ()
    grammar: GrammarState | None = None
    """What the output has to obey, where it is now."""
    processor: CustomLogitProcessor | None = None
    """Changes the logits; shared with other requests."""
    error: str = ""
    """Why no token could be chosen, where ``processor`` is to blame."""

    greedy: bool = field(init=False)
    """Takes the best token."""
    edited: bool = field(init=False)
    """Whether penalties, biases or a minimum length may change its logits."""
    penalised: bool = field(init=False)
    bias_ids: NDArray[np.int64] = field(init=False)
    bias_values: NDArray[np.float32] = field(init=False)
    banned_ids: NDArray[np.int64] = field(init=False)
    """``stop_ids`` as an array."""
    custom_params: dict[str, Any] = field(init=False)
    """What ``processor`` gets to know of this request."""
    _counts: TokenCounts | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        params = self.params
        self.greedy = params.is_greedy
        self.penalised = (
            params.frequency_penalty != 0.0
            or params.presence_penalty != 0.0
            or params.repetition_penalty != 1.0
        )
        bias = params.logit_bias
        self.bias_ids = np.fromiter(bias.keys(), np.int64, len(bias))
        self.bias_values = np.fromiter(bias.values(), np.float32, len(bias))
        self.banned_ids = np.array(sorted(self.stop_ids), dtype=np.int64)
        self.edited = self.penalised or bool(bias) or params.min_new_tokens > 0
        self.custom_params = params.custom_params or {}

    def may_choose(self, token: int) -> bool:
        """Whether the grammar, if there is one, lets the output go on with ``token``."""
        if self.grammar is None or token < 0:
            return True
        return token not in self.held_back() and self.grammar.allows(token)

    def held_back(self) -> Collection[int]:
        """Tokens that would end the output too early, though the grammar may allow them."""
        if len(self.output_ids) < self.params.min_new_tokens:
            return self.stop_ids
        return self.eos_ids if self.params.ignore_eos else ()

    def counts(self) -> TokenCounts:
        """The tokens seen so far, up to date with ``output_ids``."""
        if self._counts is None:
            repeats_prompt = self.params.repetition_penalty != 1.0
            self._counts = TokenCounts(self.prompt_ids if repeats_prompt else self.prompt_ids[:0])
        self._counts.update(self.output_ids)
        return self._counts
