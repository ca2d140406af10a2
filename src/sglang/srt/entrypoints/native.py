"""The native routes: ``/generate`` and what says how the server is."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from typing_extensions import TypedDict

from sglang import __version__
from sglang.srt.entrypoints.auth import Access, Keys
from sglang.srt.entrypoints.body import check_fields, read_json_object
from sglang.srt.entrypoints.hidden_states import (
    hidden_states_response,
    holds_hidden_states,
    json_pieces,
)
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.sse import NATIVE_STREAM, event, event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.tokenizer.chat_marks import chat_marks

_GENERATE_FIELDS = frozenset(field.name for field in dataclasses.fields(GenerateReqInput))


class AbortBody(TypedDict):
    """Body of ``/abort_request``."""

    rid: str
    """The id that the request came with."""


async def generate(state: ServerState, request: Request) -> Response:
    """Generate text or tokens: the native route."""
    body = await read_json_object(request)
    check_fields(body, _GENERATE_FIELDS)
    # A null means "not given", also where the default is another value.
    obj = GenerateReqInput(**{name: value for name, value in body.items() if value is not None})
    if obj.custom_logit_processor is not None:
        keys = Keys(state.server_args.api_key, state.server_args.admin_api_key)
        keys.check(Access.DANGEROUS, request.scope, "custom_logit_processor")
    if obj.stream is True:
        return await event_stream(request, _events(state, obj), NATIVE_STREAM)
    answer = await unless_disconnected(request, _only(state, obj))
    if holds_hidden_states(answer):
        return hidden_states_response(answer)
    return json_response(answer)


async def _events(state: ServerState, obj: GenerateReqInput) -> AsyncIterator[bytes]:
    async with aclosing(state.manager.generate(obj)) as outputs:
        async for output in outputs:
            if not holds_hidden_states(output):
                yield event(output)
                continue
            yield b"data: "
            async for piece in json_pieces(output):
                yield piece
            yield b"\n\n"


async def _only(state: ServerState, obj: GenerateReqInput) -> Any:
    async with aclosing(state.manager.generate(obj)) as outputs:
        return await anext(outputs)


async def model_info(state: ServerState, request: Request) -> Response:
    """Which model is served."""
    return json_response(
        {
            "model_path": state.model_path,
            "tokenizer_path": state.server_args.tokenizer_path,
            "is_generation": state.model_config.is_generation,
        }
    )


async def server_info(state: ServerState, request: Request) -> Response:
    """Options, limits and the engine's gauges."""
    return json_response(await collect_server_info(state))


async def collect_server_info(state: ServerState) -> dict[str, Any]:
    marks = chat_marks(state.chat_template, state.tokenizer, state.chat_stops)
    return {
        **state.server_args.to_dict(),
        "model_path": state.model_path,
        **state.engine_info,
        "chat_marks": None if marks is None else marks.to_dict(),
        "internal_states": [await state.manager.get_state()],
        "version": __version__,
    }


async def flush_cache(state: ServerState, request: Request) -> Response:
    """Drop the prefix cache."""
    reply = await state.manager.flush_cache()
    if not reply.ok:
        raise RequestError(reply.message or "the cache was not flushed")
    return PlainTextResponse(
        "Cache flushed.\nWhat running requests still use is kept until they end.\n"
    )


async def abort_request(state: ServerState, request: Request) -> Response:
    """Stop a request by its rid; an unknown one has perhaps just ended, which is no error."""
    body = await read_json_object(request)
    check_fields(body, AbortBody.__annotations__)
    rid = body.get("rid")
    if not isinstance(rid, str) or not rid:
        raise RequestError("rid must be a non-empty string", param="rid")
    return json_response({"success": True, "found": state.manager.abort(rid)})
