"""What is kept of a file and of a batch, and the life of a batch. Pure values."""

from __future__ import annotations

import re
import secrets
from typing import Literal

import msgspec

from sglang.srt.managers.errors import RequestError

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]

_NEXT: dict[Status, frozenset[Status]] = {
    "validating": frozenset({"in_progress", "failed", "cancelling"}),
    "in_progress": frozenset({"finalizing", "cancelling", "failed"}),
    "finalizing": frozenset({"completed", "expired", "failed"}),
    "cancelling": frozenset({"cancelled", "failed"}),
}
FINAL_STATUSES: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_WINDOW_DAYS = 30


class FileRecord(msgspec.Struct):
    """A file whose bytes are on disk. Times are Unix seconds."""

    id: str
    filename: str
    """What the client called it; a label, never a path."""
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class LineError(msgspec.Struct):
    """Why an input file cannot be run."""

    code: str
    message: str
    line: int | None = None
    """Counted from 1."""
    param: str | None = None


class Usage(msgspec.Struct):
    """Tokens of the answers so far."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


class Batch(msgspec.Struct):
    """A batch: what was asked, how far it is, and how much of its two files is valid."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    model: str
    output_file_id: str
    """Chosen beforehand; there is such a file once the batch has ended with answers in it."""
    error_file_id: str
    metadata: dict[str, str] | None = None
    output_expires_seconds: int | None = None
    status: Status = "validating"
    errors: list[LineError] = []
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Usage = msgspec.field(default_factory=Usage)
    output_bytes: int = 0
    """What lies beyond in the output file was never finished."""
    error_bytes: int = 0
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_STATUSES

    def advance(self, status: Status, now: float) -> None:
        """Take the next step of the life cycle and note when."""
        assert status in _NEXT.get(self.status, ()), f"{self.status} -> {status}"
        self.status = status
        setattr(self, f"{status}_at", int(now))


class LineResult(msgspec.Struct):
    """The end of one line of a batch."""

    number: int
    text: bytes
    """The line for the output or error file, with its line feed."""
    is_success: bool
    usage: Usage = msgspec.field(default_factory=Usage)


def new_id(prefix: str) -> str:
    """An id that nobody can guess, and that is safe as the name of a file."""
    return prefix + secrets.token_hex(12)


def window_seconds(text: str) -> int:
    """The length of a completion window such as ``24h``.

    Raises:
        RequestError: it is not a number with a unit, or out of range.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= MAX_WINDOW_DAYS * 86400:
        raise RequestError(
            f"completion_window is {text[:60]!r}; it must be a number and one of s, m, h, d, "
            f"such as '24h', and at most {MAX_WINDOW_DAYS} days",
            param="completion_window",
        )
    return seconds
