"""The native routes: ``/generate`` and what says how the server is."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sglang import __version__
from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.sse import event, event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import GenerateReqInput

_GENERATE_FIELDS = frozenset(field.name for field in dataclasses.fields(GenerateReqInput))


async def generate(state: ServerState, request: Request) -> Response:
    """Generate text or tokens: the native route."""
    body = await read_json_object(request)
    unknown = body.keys() - _GENERATE_FIELDS
    if unknown:
        name = min(unknown)
        raise RequestError(f"unknown field {name[:60]!r}", param=name[:60], code="unknown_field")
    # A null means "not given", also where the default is another value.
    obj = GenerateReqInput(**{name: value for name, value in body.items() if value is not None})
    if obj.stream is True:
        return await event_stream(request, _events(state, obj), openai=False)
    return json_response(await unless_disconnected(request, _only(state, obj)))


async def _events(state: ServerState, obj: GenerateReqInput) -> AsyncIterator[bytes]:
    async with aclosing(state.manager.generate(obj)) as outputs:
        async for output in outputs:
            yield event(output)


async def _only(state: ServerState, obj: GenerateReqInput) -> Any:
    async with aclosing(state.manager.generate(obj)) as outputs:
        return await anext(outputs)


async def model_info(state: ServerState, request: Request) -> Response:
    """Which model is served."""
    args = state.server_args
    return json_response(
        {
            "model_path": args.model_path,
            "tokenizer_path": args.tokenizer_path,
            "is_generation": state.model_config.is_generation,
        }
    )


async def server_info(state: ServerState, request: Request) -> Response:
    """Options, limits and the engine's gauges."""
    return json_response(await collect_server_info(state))


async def collect_server_info(state: ServerState) -> dict[str, Any]:
    return {
        **state.server_args.to_dict(),
        **state.engine_info,
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
    rid = body.get("rid")
    if not isinstance(rid, str) or not rid:
        raise RequestError("rid must be a non-empty string", param="rid")
    unknown = body.keys() - {"rid"}
    if unknown:
        name = min(unknown)
        raise RequestError(f"unknown field {name[:60]!r}", param=name[:60], code="unknown_field")
    return json_response({"success": True, "found": state.manager.abort(rid)})
