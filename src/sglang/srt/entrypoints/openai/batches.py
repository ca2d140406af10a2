"""``/v1/batches``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.batches.input_file import normal_endpoint
from sglang.srt.batches.records import Batch
from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.batch_lines import ENDPOINTS
from sglang.srt.entrypoints.openai.files import check_expiry
from sglang.srt.entrypoints.openai.paging import (
    AFTER,
    check_query,
    limit_query,
    page_body,
    page_limit,
)
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import NotImplementedYetError, RequestError

DEFAULT_PAGE, MAX_PAGE = 20, 100
LIST = (AFTER, limit_query(DEFAULT_PAGE, MAX_PAGE))
MAX_METADATA = 16
MAX_METADATA_KEY, MAX_METADATA_VALUE = 64, 512

_OTHER_ENDPOINTS = frozenset(
    {
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/videos",
    }
)
"""OpenAI's further ones."""


class OutputExpiry(BaseModel):
    """When the files of a batch expire."""

    model_config = ConfigDict(strict=True, extra="forbid")

    anchor: Literal["created_at"]
    seconds: int


class BatchRequest(BaseModel):
    """Body of ``POST /v1/batches``."""

    model_config = ConfigDict(strict=True, extra="forbid")

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = Field(default=None, max_length=MAX_METADATA)
    output_expires_after: OutputExpiry | None = None


async def create_batch(state: ServerState, request: Request) -> Response:
    """Run the requests of an uploaded file."""
    try:
        body = BatchRequest.model_validate(await read_json_object(request))
    except ValidationError as error:
        raise from_validation_error(error) from None
    endpoint = normal_endpoint(body.endpoint)
    _check_endpoint(endpoint)
    _check_metadata(body.metadata or {})
    expiry = body.output_expires_after
    if expiry is not None:
        check_expiry(expiry.anchor, expiry.seconds, "output_expires_after")
    batch = await state.batches.create_batch(
        endpoint=endpoint,
        input_file_id=body.input_file_id,
        completion_window=body.completion_window,
        metadata=body.metadata,
        output_expires_seconds=None if expiry is None else expiry.seconds,
    )
    return json_response(batch_object(batch))


async def list_batches(state: ServerState, request: Request) -> Response:
    """The batches, the youngest first."""
    check_query(request, LIST)
    batches, has_more = await state.batches.list_batches(
        after=request.query_params.get("after"), limit=page_limit(request, DEFAULT_PAGE, MAX_PAGE)
    )
    return json_response(page_body([batch_object(batch) for batch in batches], has_more))


async def get_batch(state: ServerState, request: Request) -> Response:
    """How far a batch is."""
    return json_response(batch_object(await state.batches.get_batch(_batch_id(request))))


async def cancel_batch(state: ServerState, request: Request) -> Response:
    """Stop a batch; the answers that it has got so far are kept."""
    return json_response(batch_object(await state.batches.cancel_batch(_batch_id(request))))


def batch_object(batch: Batch) -> dict[str, Any]:
    """A batch as OpenAI writes it."""
    has_files = batch.is_final and batch.status != "failed"
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _errors(batch),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "output_file_id": batch.output_file_id if has_files and batch.output_bytes else None,
        "error_file_id": batch.error_file_id if has_files and batch.error_bytes else None,
        "created_at": batch.created_at,
        "in_progress_at": batch.in_progress_at,
        "expires_at": batch.expires_at,
        "finalizing_at": batch.finalizing_at,
        "completed_at": batch.completed_at,
        "failed_at": batch.failed_at,
        "expired_at": batch.expired_at,
        "cancelling_at": batch.cancelling_at,
        "cancelled_at": batch.cancelled_at,
        "request_counts": {
            "total": batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "usage": _usage(batch),
        "metadata": batch.metadata,
    }


def _errors(batch: Batch) -> dict[str, Any] | None:
    if not batch.errors:
        return None
    data = [
        {"code": e.code, "message": e.message, "param": e.param, "line": e.line}
        for e in batch.errors
    ]
    return {"object": "list", "data": data}


def _usage(batch: Batch) -> dict[str, Any]:
    usage = batch.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _check_endpoint(endpoint: str) -> None:
    if endpoint in _OTHER_ENDPOINTS:
        raise NotImplementedYetError(f"a batch for {endpoint}", param="endpoint")
    if endpoint not in ENDPOINTS:
        raise RequestError(
            f"endpoint is {endpoint[:60]!r}; it must be one of {', '.join(ENDPOINTS)}",
            param="endpoint",
        )


def _check_metadata(metadata: dict[str, str]) -> None:
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise RequestError(
                f"metadata {key[:MAX_METADATA_KEY]!r}: keys have at most {MAX_METADATA_KEY} "
                f"characters, values {MAX_METADATA_VALUE}",
                param="metadata",
            )


def _batch_id(request: Request) -> str:
    batch_id: str = request.path_params["batch_id"]
    return batch_id
