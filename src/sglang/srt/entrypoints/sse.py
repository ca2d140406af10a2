"""Server-sent events, and answers that end when the client goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sglang.srt.entrypoints.errors import ErrorShape, error_body
from sglang.srt.managers.errors import RequestError

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
T = TypeVar("T")


class ClientGone(Exception):
    """The client has closed the connection; there is nobody to answer."""


def event(payload: Any) -> bytes:
    """One event with a JSON payload."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def typed_event(payload: Mapping[str, Any]) -> bytes:
    """One event that bears the name of its payload's type."""
    name: str = payload["type"]
    return b"event: " + name.encode() + b"\n" + event(payload)


@dataclass(frozen=True)
class StreamForm:
    """What is common to the streams of a family of routes."""

    error: Callable[[RequestError], bytes]
    """The event that tells of an error."""
    end: bytes
    """What comes last."""


OPENAI_STREAM = StreamForm(lambda error: event(error_body(error, ErrorShape.OPENAI)), DONE)
NATIVE_STREAM = StreamForm(lambda error: event(error_body(error, ErrorShape.NATIVE)), DONE)


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T:
    """The result of ``work``, which is cancelled when the client disconnects.

    Raises:
        ClientGone: it did.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request.receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        await _cancel(task, watcher)


async def event_stream(
    request: Request, events: AsyncIterator[bytes], form: StreamForm
) -> Response:
    """A response that sends ``events`` as they come.

    The first event is awaited before the status line, so what goes wrong until then is an
    ordinary error answer; later errors become an event. A disconnect cancels ``events``.
    """
    try:
        first = await unless_disconnected(request, _next(events))
    except BaseException:
        await _close(events)
        raise
    return EventStream(first, events, form)


class EventStream(Response):
    """Sends the events of an iterator until it ends or the client is gone."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes | None, events: AsyncIterator[bytes], form: StreamForm) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._events = events
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender = asyncio.ensure_future(self._send_all(send))
        watcher = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({sender, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if sender.done():
                sender.result()
        finally:
            await _cancel(sender, watcher)
            await _close(self._events)

    async def _send_all(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        if self._first is not None:
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
        try:
            async for chunk in self._events:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except RequestError as error:
            await self._send_error(send, error)
        except Exception:
            logger.exception("a stream failed")
            await self._send_error(send, RequestError("internal server error", status=500))
        await send({"type": "http.response.body", "body": self._form.end, "more_body": False})

    async def _send_error(self, send: Send, error: RequestError) -> None:
        await send(
            {"type": "http.response.body", "body": self._form.error(error), "more_body": True}
        )


async def _next(events: AsyncIterator[bytes]) -> bytes | None:
    return await anext(events, None)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(events: AsyncIterator[bytes]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
