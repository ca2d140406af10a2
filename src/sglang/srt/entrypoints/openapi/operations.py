"""One operation of the OpenAPI document: what a route takes and what it may answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from typing import Any

from sglang.srt.entrypoints.auth import PUBLIC_PATHS, Access
from sglang.srt.entrypoints.errors import ErrorShape, shape_of
from sglang.srt.entrypoints.openapi.answers import AnthropicError, NativeError
from sglang.srt.entrypoints.openapi.openai_answers import OpenAIError
from sglang.srt.entrypoints.openapi.schemas import Schemas
from sglang.srt.entrypoints.openapi.spec import Body, Form, Schema, Spec

_ABOUT = {
    400: "The request is wrong; the message says what is.",
    401: "The key is missing or wrong.",
    403: "The key does not open this, or the web page or host name is not allowed.",
    404: "There is no such thing.",
    408: "The body took too long to arrive.",
    409: "Its state does not allow this.",
    413: "The body is too large.",
    429: "The server is too busy; `Retry-After` says when to try again.",
    500: "A defect of the server.",
    503: "The server is loading, about to end or dead.",
    504: "The request took longer than it may.",
    507: "There is no room for it.",
}
_ALWAYS = (400, 401, 403, 500, 503)
_WITH_BODY = (408, 413, 429, 504)
_ERRORS: dict[ErrorShape, Any] = {
    ErrorShape.OPENAI: OpenAIError,
    ErrorShape.ANTHROPIC: AnthropicError,
    # What goes wrong before the route is reached has OpenAI's fields.
    ErrorShape.NATIVE: NativeError | OpenAIError,
}
_KEYS = {
    Access.OPERATOR: "Needs the admin key, if the server has one.",
    Access.DANGEROUS: "Needs the admin key. Without any keys, it answers to this machine only.",
}
_JSON, _EVENTS = "application/json", "text/event-stream"


def operation(
    schemas: Schemas,
    path: str,
    method: str,
    handler: Callable[..., Any],
    spec: Spec,
    access: Access = Access.USER,
) -> dict[str, Any]:
    """The operation ``method`` of ``path``, whose text is the docstring of ``handler``."""
    summary, _, more = _prose(handler.__doc__).partition("\n\n")
    notes = [note for note in (more, _KEYS.get(access)) if note]
    described: dict[str, Any] = {
        "operationId": _operation_id(path, method),
        "tags": [spec.tag],
        "summary": summary.replace("\n", " "),
        "parameters": [*_path_parameters(path), *_query_parameters(spec)],
        "responses": _responses(schemas, path, spec),
        "security": [] if path in PUBLIC_PATHS else [{"bearer": []}, {"key": []}],
    }
    if notes:
        described["description"] = "\n\n".join(notes)
    if spec.body is not None:
        described["requestBody"] = _request_body(schemas, spec.body)
    return described


def _operation_id(path: str, method: str) -> str:
    return "_".join([method.lower(), *re.findall(r"[a-z0-9_]+", path)])


def _prose(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "").replace("``", "`")


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{([^}]*)\}", path)
    ]


def _query_parameters(spec: Spec) -> list[dict[str, Any]]:
    return [
        {"name": query.name, "in": "query", "schema": query.schema, "description": query.about}
        for query in spec.query
    ]


def _request_body(schemas: Schemas, body: Body | Form) -> dict[str, Any]:
    if isinstance(body, Body):
        schema = schemas.of_body(body)
        return {"required": not body.is_optional, "content": {_JSON: {"schema": schema}}}
    file = {"type": "string", "format": "binary"}
    form: Schema = {
        "type": "object",
        "properties": {body.file_field: file, **body.fields},
        "required": [*body.required],
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def _responses(schemas: Schemas, path: str, spec: Spec) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "Done."}}
    if spec.answer is not None:
        responses["200"]["content"] = {spec.media_type: {"schema": schemas.of(spec.answer)}}
    if spec.streams:
        text = "With `stream`: server-sent events, whose data is JSON."
        responses["200"]["content"][_EVENTS] = {"schema": {"type": "string", "description": text}}
    error = schemas.of(_ERRORS[shape_of(path)])
    for status in _error_statuses(spec):
        kinds = [error]
        if status in spec.more:
            kinds.insert(0, schemas.of(spec.more[status]))
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        responses[str(status)] = {
            "description": _ABOUT[status],
            "content": {_JSON: {"schema": schema}},
        }
    return responses


def _error_statuses(spec: Spec) -> Collection[int]:
    with_body = () if spec.body is None else _WITH_BODY
    return sorted({*_ALWAYS, *with_body, *spec.errors, *spec.more})
