"""The input file of a batch: JSON lines, each a request, read and checked one at a time."""

from __future__ import annotations

import codecs
import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from sglang.srt.batches.records import LineError

MAX_LINES = 50_000
MAX_LINE_BYTES = 16 << 20
MAX_CUSTOM_ID_LENGTH = 512
MAX_ERRORS = 100
"""More are not looked for."""


@dataclass(frozen=True)
class LineRequest:
    """A checked line."""

    custom_id: str
    body: bytes
    """A JSON object as it stands in the file; whether its fields are right, the route will say."""


class LineFault(Exception):
    """Why a line cannot be run."""

    def __init__(
        self, code: str, message: str, param: str | None = None, *, is_last: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.is_last = is_last
        """Nothing can be said about the lines that follow."""


class LineIndex:
    """Where the requests of a file are: (line number, offset, length), offsets in bytes."""

    def __init__(self) -> None:
        self._numbers, self._offsets, self._lengths = array("q"), array("q"), array("q")

    def add(self, number: int, offset: int, length: int) -> None:
        self._numbers.append(number)
        self._offsets.append(offset)
        self._lengths.append(length)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._numbers, self._offsets, self._lengths, strict=True)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    custom_id: Any = None
    method: Any = None
    url: Any = None
    body: msgspec.Raw = msgspec.Raw(b"null")


class _BodyHead(msgspec.Struct):
    model: Any = None
    stream: Any = None
    background: Any = None


def normal_endpoint(url: str) -> str:
    """``/v1/...`` also where the version is left out."""
    return url if url.startswith("/v1/") else f"/v1{url}"


def parse_line(data: bytes, endpoint: str, model: str | None = None) -> LineRequest:
    """Check one line.

    ``model`` is the only model that will do; None: any.

    Raises:
        LineFault: something is wrong with it.
    """
    line = _decode(data)
    if not isinstance(line.custom_id, str) or not line.custom_id:
        raise LineFault("invalid_custom_id", "custom_id must be a non-empty string", "custom_id")
    if len(line.custom_id) > MAX_CUSTOM_ID_LENGTH:
        raise LineFault(
            "invalid_custom_id",
            f"custom_id has {len(line.custom_id)} characters; at most {MAX_CUSTOM_ID_LENGTH} "
            "are allowed",
            "custom_id",
        )
    if line.method != "POST":
        raise LineFault(
            "invalid_method", f"method must be 'POST', got {_show(line.method)}", "method"
        )
    if not isinstance(line.url, str) or normal_endpoint(line.url) != endpoint:
        raise LineFault(
            "invalid_url",
            f"url must be the batch's endpoint {endpoint!r}, got {_show(line.url)}",
            "url",
        )
    body = bytes(line.body)
    _check_head(body, model)
    return LineRequest(line.custom_id, body)


def scan(file: BinaryIO, endpoint: str, model: str | None) -> tuple[LineIndex, list[LineError]]:
    """Check a whole file; its requests, and what is wrong (the first MAX_ERRORS errors).

    Memory: a few dozen bytes a line, whatever the lines' lengths.
    """
    index = LineIndex()
    errors: list[LineError] = []
    first_use: dict[bytes, int] = {}
    number = offset = 0
    while (data := file.readline(MAX_LINE_BYTES + 1)) and len(errors) < MAX_ERRORS:
        number += 1
        try:
            if data.strip():
                index.add(number, offset, len(data))
                _check_size(len(data), len(index))
                request = parse_line(data, endpoint, model)
                _check_new(request.custom_id, number, first_use)
        except LineFault as fault:
            errors.append(LineError(fault.code, fault.message, number, fault.param))
            if fault.is_last:
                break
        offset += len(data)
    if not len(index):
        errors.append(LineError("empty_file", "the input file has no requests"))
    return index, errors


def _check_size(line_bytes: int, lines: int) -> None:
    if line_bytes > MAX_LINE_BYTES:
        message = f"the line is longer than {MAX_LINE_BYTES} bytes"
        raise LineFault("line_too_long", message, is_last=True)
    if lines > MAX_LINES:
        message = f"the file has more than {MAX_LINES} requests"
        raise LineFault("too_many_requests", message, is_last=True)


def _decode(data: bytes) -> _Line:
    try:
        return msgspec.json.decode(data.removeprefix(codecs.BOM_UTF8), type=_Line)
    except msgspec.ValidationError as error:
        raise LineFault("invalid_line", f"not a request: {error}") from None
    except (ValueError, RecursionError) as error:
        raise LineFault("invalid_json_line", f"not a line of valid JSON: {error}") from None


def _check_head(body: bytes, model: str | None) -> None:
    try:
        head = msgspec.json.decode(body, type=_BodyHead)
    except msgspec.ValidationError:
        raise LineFault("invalid_body", "body must be an object", "body") from None
    except (ValueError, RecursionError) as error:
        raise LineFault("invalid_json_line", f"body is not valid JSON: {error}", "body") from None
    if head.stream not in (None, False):
        raise LineFault("invalid_body", "an answer of a batch cannot be streamed", "body.stream")
    if head.background not in (None, False):
        message = "an answer of a batch is made in the background anyway"
        raise LineFault("invalid_body", message, "body.background")
    if model is not None and head.model not in (None, model):
        raise LineFault(
            "model_not_found",
            f"the model {_show(head.model)} does not exist; this server has {model!r}",
            "body.model",
        )


def _check_new(custom_id: str, number: int, first_use: dict[bytes, int]) -> None:
    digest = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
    first = first_use.setdefault(digest, number)
    if first != number:
        raise LineFault(
            "duplicate_custom_id",
            f"custom_id {_show(custom_id)} is already that of line {first}",
            "custom_id",
        )


def _show(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return "null" if value is None else f"a {type(value).__name__}"
