"""The API side of a running request: tokens come in, text and log-probabilities go out.

A :class:`SequenceState` turns the tokens of one sequence into text and looks for stop strings.
A :class:`RequestGroup` holds the sequences of one request and wakes its reader at most once a
step; states are cumulative, so a slow reader just sees several steps at once.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import (
    FinishReason,
    HiddenStates,
    RequestOutput,
    TokenizedRequest,
    TokenLogprobs,
)
from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer, StopChecker

if TYPE_CHECKING:
    from sglang.srt.managers.sessions import Turn


@dataclass(slots=True)
class SequenceTimes:
    """When things happened to a sequence, in seconds of the monotonic clock."""

    created: float
    """The request came."""
    sent: float
    """It was tokenized and went to the engine."""
    request_id: str
    """That of the HTTP request, for the log."""
    measured: bool
    """Whether it counts in the metrics."""
    traceparent: str = ""
    """The span that it belongs to, as the HTTP header says it; empty: none."""
    admitted: float | None = None
    """Its first step began."""
    first_token: float | None = None
    last_token: float = 0.0


@dataclass(slots=True, eq=False)
class SequenceState:
    """One sequence being generated, as its reader sees it."""

    message: TokenizedRequest
    """What the engine was asked."""
    index: int
    """Position in the answer of the request."""
    prompt_ids: NDArray[np.int32]
    detokenizer: IncrementalDetokenizer | None
    """None without a tokenizer: then there is no text."""
    stops: StopChecker | None
    """None without stop strings."""
    stream: bool

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    cached_tokens: int = 0
    embedding: NDArray[np.float32] | None = None
    """What a model that generates nothing has made of the prompt: an embedding, or scores."""
    input_logprobs: TokenLogprobs | None = None
    output_logprobs: TokenLogprobs | None = None
    hidden_states: list[NDArray[np.float32]] = field(default_factory=list)
    """[n, H] each, of the leading tokens of prompt and answer, if they were asked for."""
    finish: dict[str, Any] | None = None
    """``{"type": "stop", "matched": ...}``, ``{"type": "length", "length": n}`` or
    ``{"type": "abort", "message": ..., "status_code": ...}``."""
    failure: RequestError | None = None
    """Set when the sequence ended because of an error."""
    told_tokens: int = 0
    """Tokens the reader had been woken for."""
    queued: bool = True
    """No step has taken it up yet."""
    turn: Turn | None = None
    """Its place in a session, if it is part of one."""
    times: SequenceTimes | None = None
    """None while nobody asks for them."""

    @property
    def untold_tokens(self) -> int:
        """Tokens that the reader was not woken for; without limit before the first wake-up."""
        return len(self.token_ids) - self.told_tokens if self.told_tokens else sys.maxsize

    @property
    def rid(self) -> str:
        return self.message.rid

    def absorb(self, output: RequestOutput) -> bool:
        """Take in what a step produced.

        Returns True when a stop string ended the sequence, which the engine does not know yet.
        """
        self.cached_tokens = output.cached_tokens
        if output.embedding is not None:
            self.embedding = np.frombuffer(output.embedding, dtype="<f4")
        if output.input_logprobs is not None:
            self.input_logprobs = output.input_logprobs
        finish = output.finish
        ids = output.token_ids
        ends_on_token = finish is not None and finish.type == "stop" and finish.matched is not None
        visible = ids[:-1] if ends_on_token else ids
        kept = self._decode(visible)
        stopped = self.finish is not None
        if not stopped:
            kept = len(ids)
        self.token_ids += ids[:kept] if kept < len(ids) else ids
        if output.output_logprobs is not None:
            self._append_logprobs(output.output_logprobs, kept)
        if stopped:
            return finish is None
        if finish is not None:
            self._finish(finish)
        return False

    def add_hidden_states(self, more: HiddenStates) -> None:
        """Take in the hidden states of the tokens that follow."""
        values = np.frombuffer(more.values, dtype="<f4").reshape(more.count, -1)
        self.hidden_states.append(values)

    def cancel(self, message: str) -> None:
        """End the sequence on request, keeping what it has said so far."""
        self._finish(FinishReason("abort", message=message))

    def fail(self, error: RequestError) -> None:
        """End the sequence with an error."""
        self.failure = error
        self.finish = {"type": "abort", "message": error.message, "status_code": error.status}

    def _decode(self, ids: list[int]) -> int:
        """Extend the text; returns how many of the tokens belong to the sequence."""
        if self.detokenizer is None:
            return len(ids)
        if self.stops is None:
            # Nobody looks at the text before the end unless it is streamed.
            if self.stream:
                self.text += self.detokenizer.push(ids)
            return len(ids)
        for count, token in enumerate(ids, start=1):
            emitted, matched = self.stops.push(self.detokenizer.push([token]))
            self.text += emitted
            if matched is not None:
                self.finish = {"type": "stop", "matched": matched}
                return count
        return len(ids)

    def _finish(self, finish: FinishReason) -> None:
        self._flush_text(finish)
        if self.finish is not None:
            return
        if finish.type == "stop":
            self.finish = {"type": "stop", "matched": finish.matched}
        elif finish.type == "length":
            self.finish = {"type": "length", "length": len(self.token_ids)}
        elif finish.status >= 400:
            self.fail(RequestError(finish.message or "aborted", status=finish.status))
        else:
            self.finish = {"type": "abort", "message": finish.message or "aborted"}

    def _flush_text(self, finish: FinishReason) -> None:
        """Release what the detokenizer and the stop checker were holding back."""
        if self.detokenizer is None:
            return
        tail = ""
        if self.stops is None and not self.stream:
            ends_on_token = finish.type == "stop" and finish.matched is not None
            tail = self.detokenizer.push(self.token_ids[:-1] if ends_on_token else self.token_ids)
        tail += self.detokenizer.flush()
        if self.stops is None:
            self.text += tail
            return
        emitted, matched = self.stops.push(tail)
        self.text += emitted
        if matched is not None:
            self.finish = {"type": "stop", "matched": matched}
        else:
            self.text += self.stops.flush()

    def _append_logprobs(self, new: TokenLogprobs, kept: int) -> None:
        mine = self.output_logprobs
        if mine is None:
            mine = self.output_logprobs = TokenLogprobs([], [], [], [])
        mine.logprobs += new.logprobs[:kept]
        mine.token_ids += new.token_ids[:kept]
        mine.top_logprobs += new.top_logprobs[:kept]
        mine.top_ids += new.top_ids[:kept]


class RequestGroup:
    """The sequences of one request and the reader that waits for them (one task)."""

    def __init__(
        self,
        states: list[SequenceState],
        *,
        is_single: bool,
        named: dict[str, list[SequenceState]] | None = None,
    ) -> None:
        self.states = states
        self.is_single = is_single
        """One answer is expected instead of a list."""
        self.named = named or {}
        """Further ids that stand for several of the sequences."""
        self.deadline: asyncio.TimerHandle | None = None
        """Ends the request when it takes too long."""
        self._unfinished = len(states)
        self._changed: dict[int, SequenceState] = {}
        self._wake = asyncio.Event()

    @property
    def finished(self) -> bool:
        """No sequence is running any more."""
        return self._unfinished == 0

    def notify(self, state: SequenceState, stream_interval: int) -> None:
        """Called by the manager after ``state`` changed."""
        if state.finish is not None:
            self._unfinished -= 1
            if not state.stream and self._unfinished:
                return
        elif not state.stream or state.untold_tokens < stream_interval:
            return
        state.told_tokens = len(state.token_ids)
        self._changed[state.index] = state
        self._wake.set()

    async def next_change(self) -> SequenceState | None:
        """Wait for news: a sequence that changed since it was last returned, or None at the end.

        Sequences go on changing, so the reader must look at it before it awaits anything else.
        """
        while not self._changed:
            if self.finished:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._changed.pop(next(iter(self._changed)))

    async def wait(self) -> None:
        """Wait until all sequences have ended."""
        while not self.finished:
            self._wake.clear()
            await self._wake.wait()
