"""Error answers, in the shape that each family of routes promises."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.paths import route_path
from sglang.srt.managers.errors import RequestError

logger = logging.getLogger(__name__)

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    501: "not_implemented_error",
    503: "service_unavailable_error",
    504: "timeout_error",
}


def error_body(error: RequestError, *, openai: bool) -> dict[str, Any]:
    """The JSON body of an error: OpenAI's four fields, or the message alone."""
    if not openai:
        return {"error": {"message": error.message}}
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(error.status, "server_error"),
            "param": error.param,
            "code": error.code,
        }
    }


def is_openai_path(path: str) -> bool:
    return path.startswith("/v1/")


def error_response(error: RequestError, *, openai: bool) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503) else None
    return Response(
        orjson.dumps(error_body(error, openai=openai)),
        status_code=error.status,
        headers=headers,
        media_type="application/json",
    )


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error, openai=is_openai_path(route_path(request.scope)))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    status = int(getattr(error, "status_code", 500))
    messages = {
        404: f"there is no route {request.url.path}",
        405: f"{request.url.path} does not support {request.method}",
    }
    message = messages.get(status, str(getattr(error, "detail", "error")))
    return error_response(RequestError(message, status=status), openai=True)


async def on_internal_error(request: Request, error: Exception) -> Response:
    """A defect of ours: the log gets the stack, the client does not."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    openai = is_openai_path(route_path(request.scope))
    return error_response(RequestError("internal server error", status=500), openai=openai)


def from_validation_error(error: ValidationError) -> RequestError:
    """The first complaint of pydantic, as one sentence naming the field."""
    first = error.errors(include_url=False, include_context=False)[0]
    param = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return RequestError(f"unknown field {param!r}", param=param, code="unknown_field")
    if first["type"] == "missing":
        return RequestError(f"the field {param!r} is missing", param=param)
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return RequestError(f"{param}: {reason}, got {_short(first.get('input'))}", param=param)


def renamed(error: RequestError, names: Mapping[str, str]) -> RequestError:
    """The error with the fields called by the names that the client used."""

    def swap(text: str) -> str:
        for mine, theirs in names.items():
            text = re.sub(rf"\b{mine}\b", theirs, text)
        return text

    return RequestError(
        swap(error.message),
        status=error.status,
        param=None if error.param is None else swap(error.param),
        code=error.code,
    )


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = "null" if value is None else repr(value[:60] if isinstance(value, str) else value)
    return text[:80]
