"""The lines of a batch, run through the routes as if they had come over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from sglang.srt.batches.result_lines import LineAnswer
from sglang.srt.entrypoints.body import THREAD_FROM_BYTES, parse_json_object
from sglang.srt.entrypoints.errors import ErrorShape, error_response
from sglang.srt.entrypoints.openai.chat import chat_completions
from sglang.srt.entrypoints.openai.completions import completions
from sglang.srt.entrypoints.openai.embeddings import embeddings
from sglang.srt.entrypoints.openai.responses import create_response
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.logs.request_id import REQUEST_ID, accepted_or_new
from sglang.srt.managers.errors import RequestError

logger = logging.getLogger(__name__)

ENDPOINTS: dict[str, Callable[[ServerState, Request], Awaitable[Response]]] = {
    "/v1/chat/completions": chat_completions,
    "/v1/completions": completions,
    "/v1/embeddings": embeddings,
    "/v1/responses": create_response,
}

PRIORITY = -1000
"""Of lines that name none: whoever waits for an answer goes first."""

_DEFAULT_SLOTS, _MAX_SLOTS = 8, 512


async def answer_line(state: ServerState, endpoint: str, body: bytes) -> LineAnswer:
    """What ``POST endpoint`` answers to ``body``."""
    request_id = accepted_or_new(None)
    token = REQUEST_ID.set(request_id)
    was_alive = state.manager.dead_reason is None
    engine_died = False
    try:
        if len(body) >= THREAD_FROM_BYTES:
            body = await asyncio.to_thread(_with_priority, body)
        else:
            body = _with_priority(body)
        response = await ENDPOINTS[endpoint](state, _request(endpoint, body))
    except RequestError as error:
        engine_died = was_alive and error.code == "engine_dead"
        response = error_response(error, ErrorShape.OPENAI)
    except Exception:
        logger.exception("a line of a batch failed")
        failure = RequestError("internal server error", status=500)
        response = error_response(failure, ErrorShape.OPENAI)
    finally:
        REQUEST_ID.reset(token)
    return LineAnswer(response.status_code, bytes(response.body), request_id, engine_died)


async def start_batches(state: ServerState) -> None:
    """Run the batches that there are and will be.

    At once run half as many lines as the engine runs requests; the rest is left to others.
    """
    running = state.engine_info.get("max_running_requests", 2 * _DEFAULT_SLOTS)
    await state.batches.start(
        partial(answer_line, state),
        slots=max(1, min(running // 2, _MAX_SLOTS)),
        model_name=state.model_name,
        is_model_strict=state.server_args.strict_model_name,
    )


def _with_priority(body: bytes) -> bytes:
    fields = parse_json_object(body)
    if fields.get("priority") is None:
        fields["priority"] = PRIORITY
    return orjson.dumps(fields)


def _request(path: str, body: bytes) -> Request:
    """A request whose client has sent everything and stays."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-length", str(len(body)).encode())],
    }
    return Request(scope, receive)
