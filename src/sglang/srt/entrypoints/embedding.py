"""The native routes of models that generate no text: ``/encode`` and ``/classify``."""

from __future__ import annotations

import dataclasses
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import check_fields, read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.choices import check_model
from sglang.srt.entrypoints.sse import unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.embedding_output import native_embeddings
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import EmbeddingReqInput
from sglang.srt.managers.request_batch import as_text


@dataclasses.dataclass
class EncodeBody(EmbeddingReqInput):
    """Body of ``/encode`` and ``/classify``."""

    model: str | None = None
    """Looked at with --strict-model-name."""


_FIELDS = frozenset(field.name for field in dataclasses.fields(EncodeBody))


async def encode(state: ServerState, request: Request) -> Response:
    """Embeddings, or the scores of a reward model."""
    return json_response(await _answer(state, request, await read_json_object(request)))


async def classify(state: ServerState, request: Request) -> Response:
    """The scores of a reward or classification model, in the form of ``/encode``."""
    body = await read_json_object(request)
    pooling = state.model_config.pooling
    if pooling is not None and not pooling.gives_scores:
        raise RequestError("the model gives embeddings and no scores: ask /encode")
    return json_response(await _answer(state, request, body))


async def _answer(state: ServerState, request: Request, body: dict[str, Any]) -> Any:
    check_fields(body, _FIELDS)
    if body.get("model") is not None:
        check_model(state, as_text(body["model"], "model"))
    fields = {name: value for name, value in body.items() if value is not None and name != "model"}
    obj = EmbeddingReqInput(**fields)
    group = await unless_disconnected(request, state.manager.embed(obj))
    answers = native_embeddings(group, obj.dimensions)
    return answers[0] if group.is_single else answers
