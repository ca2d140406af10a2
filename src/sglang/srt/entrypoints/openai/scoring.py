"""``/v1/rerank`` and ``/v1/score``: how well texts match.

A cross-encoder (a classification head with one score) reads both texts at once; an embedding model
reads each alone, and the score is the cosine of the two embeddings.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.configs.pooling_config import PoolingConfig
from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.choices import check_model
from sglang.srt.entrypoints.openai.embeddings import usage_of
from sglang.srt.entrypoints.openai.protocol import read_fields
from sglang.srt.entrypoints.sse import unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.embedding_output import checked_pooling, vector_of
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import EmbeddingReqInput
from sglang.srt.managers.request_batch import MAX_PROMPTS
from sglang.srt.managers.request_state import RequestGroup

Pairs = Sequence[tuple[str, str]]


class _Common(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None
    priority: int = 0
    cache_salt: str | None = None


class RerankRequest(_Common):
    """Body of ``/v1/rerank``."""

    query: str
    documents: list[str | dict[str, str]] = Field(min_length=1, max_length=MAX_PROMPTS)
    """Each a text, or an object with a ``text``."""
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = True


class ScoreRequest(_Common):
    """Body of ``/v1/score``: one text with one or many, or as many with as many."""

    text_1: str | list[str]
    text_2: str | list[str]


async def rerank(state: ServerState, request: Request) -> Response:
    """Documents in the order in which they match a query."""
    body = read_fields(RerankRequest, await read_json_object(request))
    documents = [_document_text(each, i) for i, each in enumerate(body.documents)]
    pairs = [(body.query, document) for document in documents]
    scores, group = await unless_disconnected(request, _scores(state, body, pairs))
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.top_n]
    results = [
        {"index": i, "relevance_score": scores[i]}
        | ({"document": {"text": documents[i]}} if body.return_documents else {})
        for i in order
    ]
    answer = {"id": f"rerank-{uuid.uuid4().hex}", "model": state.model_name, "results": results}
    return json_response(answer | {"usage": usage_of(state, group)})


async def score(state: ServerState, request: Request) -> Response:
    """The scores of pairs of texts, in their order."""
    body = read_fields(ScoreRequest, await read_json_object(request))
    pairs = _pairs(body.text_1, body.text_2)
    scores, group = await unless_disconnected(request, _scores(state, body, pairs))
    return json_response(
        {
            "id": f"score-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": state.model_name,
            "data": [{"index": i, "object": "score", "score": s} for i, s in enumerate(scores)],
            "usage": usage_of(state, group),
        }
    )


async def _scores(
    state: ServerState, body: _Common, pairs: Pairs
) -> tuple[list[float], RequestGroup]:
    """The score of each pair, and what was run to get them."""
    check_model(state, body.model)
    pooling = checked_pooling(state.model_config)
    if state.tokenizer is None:
        raise RequestError("texts need a tokenizer, and the server runs with --skip-tokenizer-init")
    if pooling.gives_scores:
        return await _cross_encode(state, body, pairs, pooling)
    return await _compare(state, body, pairs)


async def _cross_encode(
    state: ServerState, body: _Common, pairs: Pairs, pooling: PoolingConfig
) -> tuple[list[float], RequestGroup]:
    if pooling.num_scores != 1:
        raise RequestError(
            f"the model gives {pooling.num_scores} scores a text; "
            "/v1/rerank and /v1/score need a model with one"
        )
    assert state.tokenizer is not None
    try:
        ids = await state.manager.run_in_thread(state.tokenizer.encode_pairs, pairs)
    except ValueError as error:
        raise RequestError(str(error)) from None
    obj = EmbeddingReqInput(input_ids=ids, priority=body.priority, cache_salt=body.cache_salt)
    group = await state.manager.embed(obj)
    scores = [float(vector_of(each)[0]) for each in group.states]
    return [_sigmoid(each) for each in scores] if pooling.has_sigmoid else scores, group


async def _compare(
    state: ServerState, body: _Common, pairs: Pairs
) -> tuple[list[float], RequestGroup]:
    """Every text is embedded once, in however many pairs it is."""
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    obj = EmbeddingReqInput(text=texts, priority=body.priority, cache_salt=body.cache_salt)
    group = await state.manager.embed(obj)
    vectors = {text: vector_of(each) for text, each in zip(texts, group.states, strict=True)}
    return [float(vectors[first] @ vectors[second]) for first, second in pairs], group


def _pairs(first: str | list[str], second: str | list[str]) -> list[tuple[str, str]]:
    if not first or not second:
        raise RequestError("text_1 and text_2 must not be empty", param="text_1")
    firsts = [first] if isinstance(first, str) else first
    seconds = [second] if isinstance(second, str) else second
    if len(firsts) == 1:
        firsts = firsts * len(seconds)
    elif len(seconds) == 1 and isinstance(second, str):
        seconds = seconds * len(firsts)
    if len(firsts) != len(seconds):
        raise RequestError(
            f"text_1 has {len(firsts)} texts and text_2 {len(seconds)}: one of them must be a "
            "single text, or both must have as many",
            param="text_2",
        )
    return list(zip(firsts, seconds, strict=True))


def _document_text(document: str | dict[str, str], index: int) -> str:
    if isinstance(document, str):
        return document
    if document.keys() != {"text"}:
        raise RequestError(
            f"documents[{index}] must be a text, or an object with nothing but a 'text'",
            param=f"documents[{index}]",
        )
    return document["text"]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
