"""What is noted of every HTTP request: its id, a line in the log, and its part in the metrics."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sglang.srt.logs.request_id import REQUEST_ID, TRACEPARENT, accepted_or_new

if TYPE_CHECKING:
    from sglang.srt.metrics.server_metrics import ServerMetrics

logger = logging.getLogger("sglang.access")

REQUEST_ID_HEADER = "X-Request-Id"
ROUTE = "sglang.route"
"""Where an endpoint leaves the pattern of its path, in the ASGI scope."""
OTHER = "other"
"""Stands in the metrics for whatever is no route or method of ours, which anybody could make up."""
_ID_HEADER = REQUEST_ID_HEADER.lower().encode()
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CLIENT_GONE = 499


class Telemetry:
    """ASGI middleware: the outermost, so that it sees the refused requests as well.

    A request keeps the ``X-Request-Id`` that it comes with, or gets one; the answer carries it.
    """

    def __init__(self, app: ASGIApp, metrics: ServerMetrics | None) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        given = [value for name, value in scope["headers"] if name == _ID_HEADER]
        request_id = accepted_or_new(given[0] if len(given) == 1 else None)
        header = (_ID_HEADER, request_id.encode())
        status = CLIENT_GONE

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        if self._metrics is not None:
            self._metrics.http_started()
        token = REQUEST_ID.set(request_id)
        parents = [value for name, value in scope["headers"] if name == b"traceparent"]
        trace_token = TRACEPARENT.set(parents[0].decode("latin-1") if len(parents) == 1 else "")
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            status = 500
            raise
        finally:
            self._note(scope, status, time.monotonic() - started, request_id)
            REQUEST_ID.reset(token)
            TRACEPARENT.reset(trace_token)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method = scope["method"]
        if self._metrics is not None:
            known = method if method in _METHODS else OTHER
            self._metrics.http_finished(scope.get(ROUTE, OTHER), known, status, seconds)
        if not logger.isEnabledFor(logging.INFO):
            return
        client = scope.get("client")
        # The path of the request, without the query, which might hold anything.
        fields = {
            "client": f"{client[0]}:{client[1]}" if client else "",
            "method": method,
            "path": scope["path"],
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        logger.info(
            '%s - "%s %s" %d, %.1f ms, id: %s',
            *(fields["client"], method, _printable(scope["path"]), status, seconds * 1000),
            request_id,
            extra={"fields": fields},
        )


def _printable(path: str) -> str:
    return path if path.isprintable() else repr(path)
