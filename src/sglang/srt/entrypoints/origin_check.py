"""Keeps web pages from using a server that their visitors happen to run.

A page may send requests to any address that its visitor's browser can reach. Where no key protects
the server, two headers that browsers set give such requests away: ``Origin`` names the page's site,
and ``Host`` the name by which the page reached us, which is the attacker's own when he has made it
resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from sglang.srt.entrypoints.errors import error_response, shape_of
from sglang.srt.entrypoints.paths import route_path
from sglang.srt.managers.errors import RequestError

if TYPE_CHECKING:
    from sglang.srt.server_args import ServerArgs


_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]+)?\Z")
"""A Host header, in lower case."""


class OriginCheck:
    """ASGI middleware: refuses requests of foreign pages and under foreign names with 403."""

    def __init__(self, app: ASGIApp, args: ServerArgs) -> None:
        self._app = app
        self._hosts = frozenset(name.lower() for name in args.allowed_hosts or ())
        self._local_name = args.host.lower() if _checks_local_names(args) else None
        self._origins = frozenset(origin.lower() for origin in args.cors_allow_origins or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
            return
        error = RequestError(problem, status=403, code="origin_not_allowed")
        response = error_response(error, shape_of(route_path(scope)))
        await response(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        host = b",".join(hosts).decode("latin-1").lower()
        if not self._knows_host(host):
            return (
                f"the server is not called {host[:100]!r}; start it with --allowed-hosts if it "
                "should be"
            )
        origin = b",".join(origins).decode("latin-1").lower()
        if origin and not self._knows_origin(origin, host):
            return (
                f"pages of {origin[:100]!r} may not use this server; start it with "
                "--cors-allow-origins if they should"
            )
        return None

    def _knows_host(self, host: str) -> bool:
        parts = _HOST.match(host)
        # What has another form is nobody's name.
        name = (parts["address"] or parts["name"]) if parts else host
        if self._hosts:
            return "*" in self._hosts or name in self._hosts
        # Only browsers matter here, and they always send the header.
        return self._local_name is None or not host or name == self._local_name or is_local(name)

    def _knows_origin(self, origin: str, host: str) -> bool:
        if "*" in self._origins or origin in self._origins:
            return True
        return origin.partition("://")[2] == host


def _checks_local_names(args: ServerArgs) -> bool:
    """Whether the server is a local one that lets everybody in."""
    return args.api_key is None and args.uds is None and is_local(args.host)


def is_local(name: str) -> bool:
    """Whether a host's name or address always means this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
