"""Documented routes that do not exist yet; a route leaves this list when it is built."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.errors import error_response, is_openai_path
from sglang.srt.managers.errors import NotImplementedYetError

ROUTES = (
    "/v1/embeddings",
    "/v1/batches",
    "/v1/batches/{batch_id}",
    "/v1/batches/{batch_id}/cancel",
    "/v1/files",
    "/v1/files/{file_id}",
    "/v1/files/{file_id}/content",
    "/encode",
    "/classify",
    "/function_call",
    "/update_weights",
    "/update_weights_from_disk",
    "/start_profile",
    "/stop_profile",
    "/metrics",
)
METHODS = ["GET", "POST", "PUT", "DELETE"]


async def not_implemented(request: Request) -> Response:
    """501 in the shape of the route's family."""
    path = request.url.path
    error = NotImplementedYetError(f"the route {path}", status=501)
    return error_response(error, openai=is_openai_path(path))
