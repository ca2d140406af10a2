"""The answer to a request for a response: one object, or the events of a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from sglang.srt.entrypoints.errors import renamed, renaming
from sglang.srt.entrypoints.openai.chat_run import ChatRun
from sglang.srt.entrypoints.openai.logprobs import chat_logprobs
from sglang.srt.entrypoints.openai.protocol import ChatRequest
from sglang.srt.entrypoints.openai.responses_items import Item
from sglang.srt.entrypoints.openai.responses_output import Event, OutputItems
from sglang.srt.entrypoints.openai.responses_protocol import NAMES, ResponsesRequest
from sglang.srt.entrypoints.openai.responses_store import StoredResponse
from sglang.srt.entrypoints.sse import StreamForm, typed_event
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.request_state import SequenceState

PATIENCE_SECONDS = 10.0
"""A stream whose answer is long in coming begins after so long."""

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
_UNFINISHED: tuple[Status, ...] = ("queued", "in_progress")


def _error_event(error: RequestError) -> bytes:
    fields = {"code": error.code, "message": error.message, "param": error.param}
    return typed_event({"type": "error", **fields, "sequence_number": 0})


STREAM = StreamForm(error=_error_event, end=b"")


@dataclass
class ResponseAnswer:
    """One response in the making."""

    state: ServerState
    id: str
    body: ResponsesRequest
    chat: ChatRequest
    run: ChatRun
    own_input: tuple[Item, ...]
    """The items of the request."""
    items: tuple[Item, ...]
    """All that the model reads, these included."""
    created_at: int = field(default_factory=lambda: int(time.time()))
    _output: OutputItems = field(default_factory=OutputItems)
    _told_tokens: int = 0
    _sequence_number: int = 0

    async def whole(self) -> dict[str, Any]:
        """The response, once it is complete."""
        with renaming(NAMES):
            [state] = await self.run.run.finished()
        self._advance(state)
        return self._end(state)[-1]["response"]  # type: ignore[no-any-return]

    async def events(self) -> AsyncIterator[bytes]:
        """The stream. What fails after its beginning ends it with ``response.failed``."""
        begin: list[Event] = [
            {"type": f"response.{kind}", "response": self.response("in_progress")}
            for kind in ("created", "in_progress")
        ]
        try:
            async with aclosing(self.run.run.patient_changes(PATIENCE_SECONDS)) as changes:
                async for state in changes:
                    events, begin = begin, []
                    if state is not None:
                        events += self._advance(state)
                        if state.finish is not None:
                            events += self._end(state)
                    if events:
                        yield self._numbered(events)
        except RequestError as error:
            if begin:  # an ordinary error answer, then
                with renaming(NAMES):
                    raise
            yield self._numbered([self._failed(error)])

    @property
    def has_begun(self) -> bool:
        """Whether the engine has taken the request up."""
        return not self.run.run.group.states[0].queued

    def storable(self, response: dict[str, Any]) -> StoredResponse:
        """The response, and what one has to know to go on from it."""
        return StoredResponse(response, self.own_input, (*self.items, *self._output.closed))

    def cancelled(self) -> dict[str, Any]:
        """The response with what there is of it."""
        [state] = self.run.run.group.states
        self._advance(state)
        self._output.close("incomplete")
        return self.response("cancelled")

    def failed(self, error: RequestError) -> dict[str, Any]:
        """The response with the reason why there will be no more of it."""
        self._output.close("incomplete")
        response = self.response("failed")
        code = "server_error" if error.status >= 499 else "invalid_prompt"
        response["error"] = {"code": code, "message": renamed(error, NAMES).message}
        return response

    def _numbered(self, events: list[Event]) -> bytes:
        first = self._sequence_number
        self._sequence_number += len(events)
        numbered = ({**e, "sequence_number": first + i} for i, e in enumerate(events))
        return b"".join(map(typed_event, numbered))

    def _advance(self, state: SequenceState) -> list[Event]:
        """Take in what is new; returns the events that tell of it."""
        if self.chat.logprobs and state.output_logprobs is not None:
            assert self.state.tokenizer is not None
            first, self._told_tokens = self._told_tokens, len(state.token_ids)
            top = self.chat.top_logprobs or 0
            new = chat_logprobs(self.state.tokenizer, state.output_logprobs, first, top)
            self._output.add_logprobs(new["content"])
        [reader] = self.run.readers
        pieces = [piece for parts in reader.advance(state) for piece in parts.pieces()]
        return [event for piece in pieces for event in self._output.add(piece)]

    def _end(self, state: SequenceState) -> list[Event]:
        """The last events; the response in the very last is complete, and stored if it may be."""
        assert state.finish is not None
        kind = state.finish["type"]
        if kind == "abort":
            return [self._failed(RequestError("the request was aborted", status=499))]
        status: Literal["completed", "incomplete"]
        status = "incomplete" if kind == "length" else "completed"
        events = self._output.close(status)
        response = self.response(status)
        if self.body.store:
            self.state.responses.put(self.storable(response))
        return [*events, {"type": f"response.{status}", "response": response}]

    def _failed(self, error: RequestError) -> Event:
        return {"type": "response.failed", "response": self.failed(error)}

    def response(self, status: Status) -> dict[str, Any]:
        """The response as it is, with this status."""
        body, chat = self.body, self.chat
        has_ended = status not in _UNFINISHED
        reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": body.background,
            "error": None,
            "incomplete_details": reason,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self.state.model_name,
            "output": list(self._output.closed) if has_ended else [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": body.reasoning.effort, "summary": None},
            "store": body.store,
            "temperature": self._sampling("temperature", chat.temperature),
            "text": {"format": body.text.format or {"type": "text"}},
            "tool_choice": "auto" if body.tool_choice is None else body.tool_choice,
            "tools": body.tools or [],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": self._sampling("top_p", chat.top_p),
            "truncation": "disabled",
            "usage": self._usage() if has_ended else None,
            "metadata": body.metadata,
        }

    def _sampling(self, name: str, given: float | None) -> Any:
        return self.state.openai_defaults.get(name, 1.0) if given is None else given

    def _usage(self) -> dict[str, Any]:
        counts = self.run.run.counts()
        return {
            "input_tokens": counts.prompt,
            "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
            "output_tokens": counts.completion,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning or 0},
            "total_tokens": counts.prompt + counts.completion,
        }
