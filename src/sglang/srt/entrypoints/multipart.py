"""Forms with one file (``multipart/form-data``), read piece by piece."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from sglang.srt.managers.errors import RequestError

IDLE_SECONDS, TOTAL_SECONDS = 60.0, 3600.0
"""How long a client may keep us waiting for the next piece, and for all of them."""
MAX_FIELD_BYTES = 4096
MAX_HEADER_BYTES = 4096
MAX_PARTS = 16
MAX_FILENAME_LENGTH = 255


class FormReader:
    """Takes a form apart as it comes in: what belongs to the file, and the other fields."""

    def __init__(self, content_type: str, file_field: str) -> None:
        """
        Raises:
            RequestError: the content type is another, or names no boundary.
        """
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise RequestError("the body must be a form: multipart/form-data with a boundary")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """None until the file begins."""
        self.is_complete = False
        self._file_field = file_field
        self._file_data: list[bytes] = []
        self._name = ""
        self._value = bytearray()
        self._header_name = self._header_value = self._disposition = b""
        self._parts = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise RequestError(f"the boundary of the form: {error}") from None

    def push(self, data: bytes) -> bytes:
        """The bytes of the file that the next piece of the body contains.

        Raises:
            RequestError: this is no form, or one with parts that are not expected.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise RequestError("the body is not a valid multipart form") from None
        piece = b"".join(self._file_data)
        self._file_data.clear()
        return piece

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise RequestError(f"the form has more than {MAX_PARTS} parts")
        self._disposition = b""
        self._value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._check_header()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header_name) + len(self._header_value) > MAX_HEADER_BYTES:
            raise RequestError(f"a header in the form is longer than {MAX_HEADER_BYTES} bytes")

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        is_file = self._name == self._file_field
        if not self._name or self._name in self.fields or (is_file and self.filename is not None):
            raise RequestError(f"the form has a part without a name, or two of {self._name[:60]!r}")
        if is_file:
            name = options.get(b"filename", b"").decode(errors="replace")
            self.filename = _last_component(name)[:MAX_FILENAME_LENGTH] or "file"

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == self._file_field:
            self._file_data.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > MAX_FIELD_BYTES:
            raise RequestError(
                f"the field {self._name[:60]!r} is longer than {MAX_FIELD_BYTES} bytes",
                param=self._name[:60],
            )

    def _on_part_end(self) -> None:
        if self._name != self._file_field:
            self.fields[self._name] = self._value.decode(errors="replace")

    def _on_end(self) -> None:
        self.is_complete = True


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes in.

    Raises:
        RequestError: the client is gone (499), or too slow (408).
    """
    stream = aiter(request.stream())
    deadline = time.monotonic() + TOTAL_SECONDS
    while True:
        patience = min(IDLE_SECONDS, deadline - time.monotonic())
        try:
            piece = await asyncio.wait_for(anext(stream, None), patience)
        except asyncio.TimeoutError:
            raise RequestError("the body takes too long to arrive", status=408) from None
        except ClientDisconnect:
            raise RequestError("the client disconnected", status=499) from None
        if piece is None:
            return
        if piece:
            yield piece


def _last_component(name: str) -> str:
    """Some clients send a path."""
    return name.replace("\\", "/").rpartition("/")[2]
