"""Request bodies: JSON whatever the Content-Type says, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from sglang.srt.managers.errors import RequestError

MAX_BODY_BYTES = 64 << 20
MAX_DEPTH = 100
"""Nested objects and lists."""
READ_SECONDS = 300.0
THREAD_FROM_BYTES = 1 << 20
"""Larger bodies are parsed off the event loop."""


async def read_json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        RequestError: too large (413), too slow (408), not JSON, too deep, or not an object.
    """
    try:
        data = await asyncio.wait_for(_read(request), READ_SECONDS)
    except asyncio.TimeoutError:
        raise RequestError(
            f"the body did not arrive within {READ_SECONDS:g} seconds", status=408
        ) from None
    if len(data) >= THREAD_FROM_BYTES:
        return await asyncio.to_thread(parse_json_object, data)
    return parse_json_object(data)


async def read_optional_json_object(request: Request) -> dict[str, Any]:
    """The same, but no body at all is an empty object."""
    if (
        request.headers.get("content-length", "0") == "0"
        and "transfer-encoding" not in request.headers
    ):
        return {}
    return await read_json_object(request)


def check_fields(body: dict[str, Any], known: Collection[str]) -> None:
    """Raises RequestError for a field that no route of this kind has.

    ``known`` may be the annotations of the type that describes the body.
    """
    for name in sorted(body.keys() - known):
        raise RequestError(f"unknown field {name[:60]!r}", param=name[:60], code="unknown_field")


def parse_json_object(data: bytes) -> dict[str, Any]:
    if not data:
        raise RequestError("the body is empty; a JSON object is expected")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise RequestError("the body must be a JSON object")
    # Counting brackets bounds the depth at the speed of memchr; few bodies need the walk.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            parts.append(part)
    except ClientDisconnect:
        raise RequestError("the client disconnected", status=499) from None
    return b"".join(parts)


def _too_large() -> RequestError:
    return RequestError(f"the body exceeds {MAX_BODY_BYTES} bytes", status=413)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        children: list[Any] = []
        for item in level:
            members = item.values() if isinstance(item, dict) else item
            children += [m for m in members if isinstance(m, (dict, list))]
        if not children:
            return
        level = children
    raise RequestError(f"the body is nested more than {MAX_DEPTH} levels deep")
