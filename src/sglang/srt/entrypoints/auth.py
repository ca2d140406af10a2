"""Authentication: one rule for every route, refused unless listed as public."""

from __future__ import annotations

import hmac

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from sglang.srt.entrypoints.errors import error_body
from sglang.srt.managers.errors import RequestError

PUBLIC_PATHS = frozenset({"/health"})


class ApiKeyAuth:
    """ASGI middleware: without ``Authorization: Bearer <key>`` only public paths answer."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send)

    def _allowed(self, scope: Scope) -> bool:
        if scope["path"] in PUBLIC_PATHS:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(_normal(given[0]), self._expected)


def _normal(header: bytes) -> bytes:
    """The scheme's name is case-insensitive."""
    scheme, _, key = header.partition(b" ")
    return b"Bearer " + key.strip() if scheme.lower() == b"bearer" else header


async def _refuse(send: Send) -> None:
    error = RequestError(
        "missing or wrong API key: send the header 'Authorization: Bearer <key>'",
        status=401,
        code="invalid_api_key",
    )
    body = orjson.dumps(error_body(error, openai=True))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
