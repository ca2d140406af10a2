"""``/v1/chat/completions``."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.chat_format import ChatFormatter
from sglang.srt.entrypoints.openai.chat_run import start_chat
from sglang.srt.entrypoints.openai.choices import Answer
from sglang.srt.entrypoints.openai.protocol import ChatRequest, parse_request
from sglang.srt.entrypoints.sse import OPENAI_STREAM, event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState


async def chat_completions(state: ServerState, request: Request) -> Response:
    """Answer a conversation."""
    chat = parse_request(ChatRequest, await read_json_object(request))
    rid = f"chatcmpl-{uuid.uuid4().hex}" if chat.rid is None else chat.rid
    started = await unless_disconnected(request, start_chat(state, chat, rid))
    assert state.tokenizer is not None
    formatter = ChatFormatter(
        state.tokenizer, chat, started.readers, has_reasoning=started.has_reasoning
    )
    kind = "chat.completion.chunk" if chat.stream else "chat.completion"
    answer = Answer(state, chat, started.run, rid, kind)
    if chat.stream:
        return await event_stream(request, answer.events(formatter.chunks), OPENAI_STREAM)
    return json_response(await unless_disconnected(request, answer.whole(formatter.choice)))
