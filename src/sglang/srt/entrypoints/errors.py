"""Error answers, in the shape that each family of routes promises."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from sglang.srt.entrypoints.paths import route_path
from sglang.srt.logs.request_id import REQUEST_ID
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
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    501: "invalid_request_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ErrorShape(Enum):
    """What the body of an error looks like."""

    OPENAI = auto()
    """Message, type, param and code."""
    ANTHROPIC = auto()
    """Message and type, in an object of type ``error`` that names the request."""
    NATIVE = auto()
    """The message alone."""


def shape_of(path: str) -> ErrorShape:
    """How the route at ``path`` writes its errors."""
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return ErrorShape.ANTHROPIC
    return ErrorShape.OPENAI if path.startswith("/v1/") else ErrorShape.NATIVE


def shape_outside(path: str) -> ErrorShape:
    """The same for errors that come before any route: those have OpenAI's fields by default."""
    shape = shape_of(path)
    return ErrorShape.OPENAI if shape is ErrorShape.NATIVE else shape


def error_body(error: RequestError, shape: ErrorShape) -> dict[str, Any]:
    """The JSON body of an error."""
    if shape is ErrorShape.NATIVE:
        return {"error": {"message": error.message}}
    if shape is ErrorShape.ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": error.message},
            "request_id": REQUEST_ID.get() or None,
        }
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(error.status, "server_error"),
            "param": error.param,
            "code": error.code,
        }
    }


def error_response(error: RequestError, shape: ErrorShape) -> Response:
    headers = {"Retry-After": "1"} if error.status in (429, 503) else {}
    if shape is ErrorShape.ANTHROPIC:
        headers |= anthropic_headers()
    return Response(
        orjson.dumps(error_body(error, shape)),
        status_code=error.status,
        headers=headers,
        media_type="application/json",
    )


def anthropic_headers() -> dict[str, str]:
    """Where Anthropic's clients look for the id of a request."""
    return {"request-id": REQUEST_ID.get()} if REQUEST_ID.get() else {}


async def on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error_response(error, shape_of(route_path(request.scope)))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    status = int(getattr(error, "status_code", 500))
    messages = {
        404: f"there is no route {request.url.path}",
        405: f"{request.url.path} does not support {request.method}",
    }
    message = messages.get(status, str(getattr(error, "detail", "error")))
    shape = shape_outside(route_path(request.scope))
    response = error_response(RequestError(message, status=status), shape)
    if status == 405:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Those of the routes that have the path of a request, by name or else by pattern."""
    fitting = [r for r in request.app.routes if r.matches(request.scope)[0] is not Match.NONE]
    exact = [route for route in fitting if route.path == route_path(request.scope)]
    return sorted({method for route in exact or fitting for method in route.methods})


async def on_internal_error(request: Request, error: Exception) -> Response:
    """A defect of ours: the log gets the stack, the client does not."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    shape = shape_of(route_path(request.scope))
    return error_response(RequestError("internal server error", status=500), shape)


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


@contextmanager
def renaming(names: Mapping[str, str]) -> Iterator[None]:
    """Errors from inside call the fields by the names that the client used."""
    try:
        yield
    except RequestError as error:
        raise renamed(error, names) from None


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = "null" if value is None else repr(value[:60] if isinstance(value, str) else value)
    return text[:80]
