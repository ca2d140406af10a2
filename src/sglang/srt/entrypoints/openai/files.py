"""``/v1/files``."""

from __future__ import annotations

from typing import Any, cast, get_args

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from sglang.srt.batches.file_store import Order
from sglang.srt.batches.records import FileRecord
from sglang.srt.batches.service import PendingUpload
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.multipart import FormReader, pieces
from sglang.srt.entrypoints.openai.paging import (
    AFTER,
    ORDER,
    check_query,
    limit_query,
    page_body,
    page_limit,
)
from sglang.srt.entrypoints.openapi.spec import Form, Query
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

MAX_FILE_BYTES = 512 << 20
FORM_BYTES = 1 << 20
"""What may be around the file."""
MAX_FORM_BYTES = MAX_FILE_BYTES + FORM_BYTES
WRITE_BYTES = 1 << 20
"""So much is collected before the disk is bothered."""
MAX_PAGE = 10_000
PURPOSES = ("batch", "user_data", "assistants", "vision", "evals", "fine-tune")
MIN_EXPIRY_SECONDS = 3600
MAX_EXPIRY_SECONDS = 30 * 86400

_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
UPLOAD = Form(
    "file",
    {
        "purpose": {"enum": list(PURPOSES)},
        _ANCHOR: {"enum": ["created_at"]},
        _SECONDS: {
            "type": "integer",
            "minimum": MIN_EXPIRY_SECONDS,
            "maximum": MAX_EXPIRY_SECONDS,
        },
    },
    ("file", "purpose"),
)
LIST = (
    Query("purpose", {"type": "string"}, "Only files for this purpose."),
    AFTER,
    ORDER,
    limit_query(MAX_PAGE, MAX_PAGE),
)


async def upload_file(state: ServerState, request: Request) -> Response:
    """Keep a file: the form's field ``file``, for the ``purpose``."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_FORM_BYTES:
        raise _too_large()
    form = FormReader(request.headers.get("content-type", ""), "file")
    upload = await state.batches.begin_upload(max(int(declared) - FORM_BYTES, 0))
    try:
        await _receive(request, form, upload)
        purpose, expires_after = _read_fields(form)
        assert form.filename is not None
        record = await upload.finish(form.filename, purpose, expires_after)
    except BaseException:
        await upload.discard()
        raise
    return json_response(file_object(record))


async def list_files(state: ServerState, request: Request) -> Response:
    """The files, the youngest first unless ``order`` is asc."""
    check_query(request, LIST)
    query = request.query_params
    order = query.get("order", "desc")
    if order not in get_args(Order):
        raise RequestError(f"order is {order[:20]!r}; it must be asc or desc", param="order")
    records, has_more = await state.batches.list_files(
        purpose=query.get("purpose"),
        after=query.get("after"),
        limit=page_limit(request, MAX_PAGE, MAX_PAGE),
        order=cast(Order, order),
    )
    return json_response(page_body([file_object(record) for record in records], has_more))


async def get_file(state: ServerState, request: Request) -> Response:
    """What is known of a file."""
    return json_response(file_object(await state.batches.get_file(_file_id(request))))


async def file_content(state: ServerState, request: Request) -> Response:
    """The bytes of a file."""
    record, path = await state.batches.file_content(_file_id(request))
    return FileResponse(
        path,
        filename=record.filename,
        media_type="application/octet-stream",
        # A browser shall not take an uploaded file for a page of ours.
        headers={"X-Content-Type-Options": "nosniff"},
    )


async def delete_file(state: ServerState, request: Request) -> Response:
    """Forget a file."""
    file_id = _file_id(request)
    await state.batches.delete_file(file_id)
    return json_response({"id": file_id, "object": "file", "deleted": True})


def file_object(record: FileRecord) -> dict[str, Any]:
    """A file as OpenAI writes it."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
    }


def check_expiry(anchor: str | None, seconds: int, param: str) -> None:
    """The policy by which a file expires."""
    if anchor != "created_at":
        raise RequestError(f"{param}.anchor must be 'created_at'", param=f"{param}.anchor")
    if not MIN_EXPIRY_SECONDS <= seconds <= MAX_EXPIRY_SECONDS:
        raise RequestError(
            f"{param}.seconds must be in [{MIN_EXPIRY_SECONDS}, {MAX_EXPIRY_SECONDS}]",
            param=f"{param}.seconds",
        )


async def _receive(request: Request, form: FormReader, upload: PendingUpload) -> None:
    """Write the form's file as it comes in."""
    waiting = bytearray()
    received = 0
    async for piece in pieces(request):
        received += len(piece)
        waiting += form.push(piece)
        if upload.size + len(waiting) > MAX_FILE_BYTES or received > MAX_FORM_BYTES:
            raise _too_large()
        if len(waiting) >= WRITE_BYTES:
            await upload.write(bytes(waiting))
            waiting.clear()
    await upload.write(bytes(waiting))


def _read_fields(form: FormReader) -> tuple[str, int | None]:
    """The purpose, and in how many seconds the file expires."""
    if not form.is_complete:
        raise RequestError("the form ends in the middle: its last boundary is missing")
    if form.filename is None:
        raise RequestError("the form has no part named 'file'", param="file")
    for name in form.fields.keys() - UPLOAD.fields.keys():
        raise RequestError(f"unknown field {name[:60]!r}", param=name[:60], code="unknown_field")
    purpose = form.fields.get("purpose")
    if purpose not in PURPOSES:
        shown = "missing" if purpose is None else repr(purpose[:60])
        raise RequestError(
            f"purpose is {shown}; it must be one of {', '.join(PURPOSES)}", param="purpose"
        )
    if form.fields.keys().isdisjoint({_ANCHOR, _SECONDS}):
        return purpose, None
    seconds = form.fields.get(_SECONDS, "")
    number = int(seconds) if seconds.isascii() and seconds.isdecimal() and len(seconds) < 10 else 0
    check_expiry(form.fields.get(_ANCHOR), number, "expires_after")
    return purpose, number


def _file_id(request: Request) -> str:
    file_id: str = request.path_params["file_id"]
    return file_id


def _too_large() -> RequestError:
    return RequestError(f"the file exceeds {MAX_FILE_BYTES} bytes", status=413, param="file")
