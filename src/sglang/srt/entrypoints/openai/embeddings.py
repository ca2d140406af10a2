"""``/v1/embeddings``."""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renaming
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.choices import check_model
from sglang.srt.entrypoints.openai.protocol import read_fields
from sglang.srt.entrypoints.sse import unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.embedding_output import vector_of
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import EmbeddingReqInput
from sglang.srt.managers.request_state import RequestGroup


class EmbeddingRequest(BaseModel):
    """Body of ``/v1/embeddings``."""

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None
    input: Any
    """A string, token ids, or a list of either."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    rid: str | None = None
    priority: int = 0
    cache_salt: str | None = None


async def embeddings(state: ServerState, request: Request) -> Response:
    """Embeddings of one or several inputs."""
    body = read_fields(EmbeddingRequest, await read_json_object(request))
    check_model(state, body.model)
    obj = EmbeddingReqInput(
        **_input(body.input),
        dimensions=body.dimensions,
        rid=body.rid,
        priority=body.priority,
        cache_salt=body.cache_salt,
    )
    with renaming({"input_ids": "input", "text": "input"}):
        group = await unless_disconnected(request, state.manager.embed(obj))
    vectors = [vector_of(each, body.dimensions) for each in group.states]
    is_base64 = body.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _base64(vector) if is_base64 else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    return json_response(
        {"object": "list", "data": data, "model": state.model_name, "usage": usage_of(state, group)}
    )


def usage_of(state: ServerState, group: RequestGroup) -> dict[str, Any]:
    """Token counts of requests that generate nothing."""
    tokens = sum(len(each.prompt_ids) for each in group.states)
    usage: dict[str, Any] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if state.server_args.enable_cache_report:
        cached = sum(each.cached_tokens for each in group.states)
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return usage


def _input(value: Any) -> dict[str, Any]:
    """Which of text and input_ids the input is; the manager checks it in detail."""
    if not isinstance(value, (str, list)) or not value:
        raise RequestError(
            "input must be a string, a list of token ids, or a list of either, and not empty",
            param="input",
        )
    return {"text" if isinstance(value, str) or isinstance(value[0], str) else "input_ids": value}


def _base64(vector: NDArray[np.float32]) -> str:
    """float32 little-endian, as OpenAI's clients read it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
