"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sglang import __version__
from sglang.srt.entrypoints.openai.messages import message_schema
from sglang.srt.entrypoints.openai.protocol import MAX_MESSAGES
from sglang.srt.entrypoints.openapi.operations import operation
from sglang.srt.entrypoints.openapi.schemas import Schemas, sampling_object
from sglang.srt.entrypoints.openapi.spec import Schema, Spec
from sglang.srt.entrypoints.routes import ROUTES
from sglang.srt.entrypoints.server_routes import INFO_ROUTES, PROBES

PATH = "/openapi.json"


class DocumentRoute:
    """What this server can do, as an OpenAPI document."""

    spec = Spec(tag="Server", answer=dict[str, Any])

    def __init__(self, root_path: str) -> None:
        self._root_path = root_path
        self._data: bytes | None = None

    async def __call__(self, request: Request) -> Response:
        if self._data is None:
            document = await asyncio.to_thread(build_document, self._root_path)
            self._data = orjson.dumps(document)
        return Response(self._data, media_type="application/json")


def build_document(root_path: str = "") -> dict[str, Any]:
    """The document of a server that a proxy offers at ``root_path``."""
    schemas = Schemas()
    message = schemas.add("ChatMessage", message_schema())
    sampling = schemas.add("SamplingParams", sampling_object())
    paths: dict[str, dict[str, Any]] = {}
    for route in (*ROUTES, *INFO_ROUTES):
        path = route.path.replace(":path}", "}")
        for method in route.methods:
            made = operation(schemas, path, method, route.handler, route.spec, route.access)
            paths.setdefault(path, {})[method.lower()] = made
    for probe in PROBES:
        paths[probe.path] = {
            "get": operation(schemas, probe.path, "GET", probe.handler, probe.spec)
        }
    paths[PATH] = {"get": operation(schemas, PATH, "GET", DocumentRoute, DocumentRoute.spec)}
    _fill_in(schemas.components, message, sampling)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sglang", "version": __version__},
        "servers": [{"url": root_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _fill_in(components: dict[str, Schema], message: Schema, sampling: Schema) -> None:
    """What types call a ``dict``, because it is read by hand."""
    messages = {"type": "array", "items": message, "minItems": 1, "maxItems": MAX_MESSAGES}
    components["ChatRequest"]["properties"]["messages"] = messages
    maybe = {"anyOf": [messages, {"type": "null"}]}
    components["TokenizeRequest"]["properties"]["messages"] = maybe
    many = {"type": "array", "items": {"anyOf": [sampling, {"type": "null"}]}}
    components["GenerateReqInput"]["properties"]["sampling_params"] = {
        "anyOf": [sampling, many, {"type": "null"}]
    }
