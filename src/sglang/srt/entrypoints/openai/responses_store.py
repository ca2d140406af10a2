"""Responses that may be asked for again, in memory and within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from sglang.srt.managers.errors import RequestError

MAX_RESPONSES = 4096
MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class StoredResponse:
    """A response and what led to it."""

    response: dict[str, Any]
    input: tuple[dict[str, Any], ...]
    """Items of its own request."""
    context: tuple[dict[str, Any], ...]
    """Items of the whole conversation, its own output included."""


class ResponseStore:
    """The responses used last; the others are forgotten."""

    def __init__(self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        """``max_bytes`` bounds the conversations as JSON, each counted in full."""
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._entries: dict[str, tuple[StoredResponse, int]] = {}
        """By the time of their last use."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, stored: StoredResponse) -> None:
        """Keep a response, and forget others if there are too many."""
        if stored.response["id"] in self._entries:
            self._remove(stored.response["id"])
        size = len(orjson.dumps([stored.response, stored.context]))
        self._entries[stored.response["id"]] = (stored, size)
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_responses:
            self._remove(next(iter(self._entries)))

    def get(self, id: str) -> StoredResponse:
        """The response of this name.

        Raises:
            RequestError: there is none (any more).
        """
        if id not in self._entries:
            raise RequestError(
                f"there is no response {id[:80]!r}; responses are kept in memory, the last "
                f"{self._max_responses} at most, and not at all with store=false",
                status=404,
                code="response_not_found",
            )
        entry = self._entries.pop(id)
        self._entries[id] = entry
        return entry[0]

    def delete(self, id: str) -> None:
        """Forget a response.

        Raises:
            RequestError: there is none.
        """
        self.get(id)
        self._remove(id)

    def _remove(self, id: str) -> None:
        self._bytes -= self._entries.pop(id)[1]
