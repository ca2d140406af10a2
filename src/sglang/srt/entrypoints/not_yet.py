"""Documented routes that do not exist yet; a route leaves this list when it is built."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.auth import Access
from sglang.srt.entrypoints.paths import route_path
from sglang.srt.managers.errors import NotImplementedYetError

ROUTES = {
    "/v1/embeddings": Access.USER,
    "/encode": Access.USER,
    "/classify": Access.USER,
    "/update_weights": Access.DANGEROUS,
    "/update_weights_from_disk": Access.DANGEROUS,
    "/start_profile": Access.DANGEROUS,
    "/stop_profile": Access.DANGEROUS,
}
METHODS = ["GET", "POST", "PUT", "DELETE"]


async def not_implemented(request: Request) -> Response:
    """501 in the shape of the route's family."""
    raise NotImplementedYetError(f"the route {route_path(request.scope)}", status=501)
