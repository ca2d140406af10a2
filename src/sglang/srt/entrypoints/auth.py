"""Authentication: one rule for every route, refused unless listed as public."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass, field
from enum import Enum, auto

from starlette.types import ASGIApp, Receive, Scope, Send

from sglang.srt.entrypoints.errors import error_response, shape_outside
from sglang.srt.entrypoints.paths import route_path
from sglang.srt.managers.errors import RequestError

PUBLIC_PATHS = frozenset({"/health", "/ready", "/live"})


class Access(Enum):
    """What a route asks of its callers, where keys are configured."""

    USER = auto()
    """Any key."""
    OPERATOR = auto()
    """Steers the server: the admin key, if there is one, else any."""
    DANGEROUS = auto()
    """Changes what the server runs or where it writes: the admin key; without any keys, this
    machine."""


class Caller(Enum):
    """What a request has proven to be."""

    NOBODY = auto()
    USER = auto()
    ADMIN = auto()


@dataclass(frozen=True)
class Keys:
    """The keys of a server."""

    api_key: str | None = field(default=None, repr=False)
    admin_api_key: str | None = field(default=None, repr=False)

    def caller(self, scope: Scope) -> Caller:
        """Who sends a request, by its headers Authorization and x-api-key."""
        given = _given_keys(scope)
        if _matches(given, self.admin_api_key):
            return Caller.ADMIN
        if self.api_key is None or _matches(given, self.api_key):
            return Caller.USER
        return Caller.NOBODY

    def check(self, access: Access, scope: Scope, what: str = "this route") -> None:
        """Whether the request may use a route, or ``what``; its caller is known to be somebody.

        Raises:
            RequestError: it may not (403); the message says what would help.
        """
        if access is Access.USER or self.caller(scope) is Caller.ADMIN:
            return
        if self.admin_api_key is not None:
            raise _forbidden(f"{what} needs the admin key")
        if access is Access.OPERATOR:
            return
        if self.api_key is not None:
            raise _forbidden(f"{what} needs an admin key; the server has none (--admin-api-key)")
        if not _is_local(scope):
            raise _forbidden(
                f"without keys, {what} is for this machine only; start the server with "
                "--admin-api-key"
            )


class Authentication:
    """ASGI middleware: nobody gets further than the public paths."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._allowed(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(scope, receive, send)

    def _allowed(self, scope: Scope) -> bool:
        if route_path(scope) in PUBLIC_PATHS:
            return True
        return self._keys.caller(scope) is not Caller.NOBODY


def _given_keys(scope: Scope) -> list[bytes]:
    """The keys that a request shows, at most one in each of the two headers."""
    keys: list[bytes] = []
    bearers = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(bearers) == 1:
        # The scheme's name is case-insensitive.
        scheme, _, key = bearers[0].partition(b" ")
        keys += [key.strip()] if scheme.lower() == b"bearer" else []
    plain = [value for name, value in scope["headers"] if name == b"x-api-key"]
    return [*keys, plain[0].strip()] if len(plain) == 1 else keys


def _matches(given: list[bytes], key: str | None) -> bool:
    return key is not None and any(hmac.compare_digest(one, key.encode()) for one in given)


def _is_local(scope: Scope) -> bool:
    """Whether the client is on this machine. A unix socket gives no address."""
    if not scope.get("client") or not scope["client"][0]:
        return True
    address = ipaddress.ip_address(scope["client"][0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _forbidden(message: str) -> RequestError:
    return RequestError(message, status=403, code="admin_key_required")


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    error = RequestError(
        "missing or wrong API key: send the header 'Authorization: Bearer <key>' or "
        "'x-api-key: <key>'",
        status=401,
        code="invalid_api_key",
    )
    response = error_response(error, shape_outside(route_path(scope)))
    response.headers["WWW-Authenticate"] = "Bearer"
    await response(scope, receive, send)
