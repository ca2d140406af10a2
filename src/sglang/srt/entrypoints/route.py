"""What a route is: a path, its handler, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.auth import Access
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.openapi.spec import Spec
from sglang.srt.entrypoints.state import ServerState

Handler = Callable[[ServerState, Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A path, its methods, and what happens there."""

    path: str
    methods: tuple[str, ...]
    handler: Handler
    spec: Spec
    access: Access = Access.USER


@dataclass(frozen=True)
class Probe:
    """A route that is there before the model is."""

    path: str
    handler: Callable[[Lifecycle, Request], Awaitable[Response]]
    spec: Spec
