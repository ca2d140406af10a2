"""``/v1/messages`` and ``/v1/messages/count_tokens``: Anthropic's Messages API."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.anthropic.events import (
    PING,
    STREAM,
    ContentBlocks,
    Event,
    stop_fields,
    usage,
)
from sglang.srt.entrypoints.anthropic.protocol import (
    MessagesRequest,
    PromptRequest,
    parse_request,
)
from sglang.srt.entrypoints.anthropic.translate import NAMES, to_chat
from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import anthropic_headers, renaming
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.chat_run import ChatRun, count_prompt_tokens, start_chat
from sglang.srt.entrypoints.sse import event_stream, typed_event, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.request_state import SequenceState

PING_SECONDS = 10.0
"""A stream whose answer is long in coming begins after so long, and says so again as often."""


async def create_message(state: ServerState, request: Request) -> Response:
    """Answer a conversation."""
    body, extras = parse_request(MessagesRequest, await read_json_object(request))
    id = f"msg_{uuid.uuid4().hex}"
    with renaming(NAMES):
        chat = to_chat(state, body, extras)
        run = await unless_disconnected(request, start_chat(state, chat, id))
    answer = MessageAnswer(id, state.model_name, body, run)
    if body.stream:
        response = await event_stream(request, answer.events(), STREAM)
    else:
        response = json_response(await unless_disconnected(request, answer.whole()))
    response.headers.update(anthropic_headers())
    return response


async def count_tokens(state: ServerState, request: Request) -> Response:
    """How many tokens a conversation has, without an answer."""
    body, extras = parse_request(PromptRequest, await read_json_object(request))
    with renaming(NAMES):
        chat = to_chat(state, body, extras)
        count = await unless_disconnected(request, count_prompt_tokens(state, chat))
    response = json_response({"input_tokens": count})
    response.headers.update(anthropic_headers())
    return response


@dataclass(frozen=True)
class MessageAnswer:
    """The answer to a request, whole or as a stream."""

    id: str
    model: str
    body: MessagesRequest
    run: ChatRun

    async def whole(self) -> dict[str, Any]:
        """The message, once it is complete."""
        with renaming(NAMES):
            [state] = await self.run.run.finished()
        blocks = self._blocks()
        self._advance(state, blocks)
        blocks.close()
        return {**self._message(), **self._stop(state), "content": blocks.closed}

    async def events(self) -> AsyncIterator[bytes]:
        """The stream."""
        blocks = self._blocks()
        has_begun = False
        with renaming(NAMES):
            async with aclosing(self.run.run.patient_changes(PING_SECONDS)) as changes:
                async for state in changes:
                    events: list[Event] = []
                    if not has_begun or state is None:
                        start = {"type": "message_start", "message": self._message()}
                        events += [PING] if has_begun else [start, PING]
                        has_begun = True
                    if state is not None:
                        events += self._advance(state, blocks)
                        if state.finish is not None:
                            events += self._end(state, blocks)
                    if events:
                        yield b"".join(map(typed_event, events))

    def _blocks(self) -> ContentBlocks:
        thinking = self.body.thinking
        return ContentBlocks(omits_thinking=thinking is not None and thinking.display == "omitted")

    def _advance(self, state: SequenceState, blocks: ContentBlocks) -> list[Event]:
        """Put into ``blocks`` what is new; returns the events that tell of it."""
        [reader] = self.run.readers
        pieces = [piece for parts in reader.advance(state) for piece in parts.pieces()]
        return [event for piece in pieces for event in blocks.add(piece)]

    def _end(self, state: SequenceState, blocks: ContentBlocks) -> list[Event]:
        delta = {
            "type": "message_delta",
            "delta": self._stop(state),
            "usage": usage(self.run.run.counts()),
        }
        return [*blocks.close(), delta, {"type": "message_stop"}]

    def _stop(self, state: SequenceState) -> dict[str, Any]:
        [reader] = self.run.readers
        stops = self.body.stop_sequences or []
        return stop_fields(state, stops, self.body.max_tokens, has_calls=reader.has_calls)

    def _message(self) -> dict[str, Any]:
        """What is known at the beginning."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage(self.run.run.counts()),
        }
