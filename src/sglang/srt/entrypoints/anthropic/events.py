"""Answers as Anthropic writes them: content blocks, whole or as events of a stream."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from sglang.srt.entrypoints.errors import ErrorShape, error_body
from sglang.srt.entrypoints.openai.answer_parts import Piece
from sglang.srt.entrypoints.openai.answer_run import TokenCounts
from sglang.srt.entrypoints.sse import StreamForm, typed_event
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.request_state import SequenceState

Event = dict[str, Any]

STREAM = StreamForm(
    error=lambda error: typed_event(error_body(error, ErrorShape.ANTHROPIC)), end=b""
)
PING: Event = {"type": "ping"}

_DELTAS = {
    "reasoning": ("thinking_delta", "thinking"),
    "content": ("text_delta", "text"),
    "call": ("input_json_delta", "partial_json"),
}


class ContentBlocks:
    """The blocks of one answer, which grow one after the other."""

    def __init__(self, *, omits_thinking: bool = False) -> None:
        """``omits_thinking``: blocks of reasoning are there, but empty."""
        self.closed: list[dict[str, Any]] = []
        """The blocks that are complete."""
        self._omits_thinking = omits_thinking
        self._kind: str | None = None
        self._head: dict[str, Any] = {}
        self._texts: list[str] = []

    def add(self, piece: Piece) -> list[Event]:
        """Append a piece; returns the events that tell of it."""
        events: list[Event] = []
        begins_call = piece.call is not None and piece.call.name is not None
        if begins_call or piece.kind != self._kind:
            events += self.close()
            events.append(self._open(piece))
        if piece.kind == "reasoning" and self._omits_thinking:
            return events
        self._texts.append(piece.text)
        if piece.text:
            kind, field = _DELTAS[piece.kind]
            events.append(self._event("delta", delta={"type": kind, field: piece.text}))
        return events

    def close(self) -> list[Event]:
        """End the block that is open, if any; returns the events that tell of it."""
        if self._kind is None:
            return []
        events: list[Event] = []
        text = "".join(self._texts)
        block = dict(self._head)
        if self._kind == "content":
            block["text"] = text
        elif self._kind == "call":
            block["input"] = _arguments(text)
        else:
            block |= {"thinking": text, "signature": _signature(text)}
            delta = {"type": "signature_delta", "signature": block["signature"]}
            events.append(self._event("delta", delta=delta))
        events.append(self._event("stop"))
        self.closed.append(block)
        self._kind = None
        return events

    def _open(self, piece: Piece) -> Event:
        self._kind = piece.kind
        self._texts = []
        if piece.call is not None:
            call = piece.call
            self._head = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        elif piece.kind == "reasoning":
            self._head = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            self._head = {"type": "text", "text": ""}
        return self._event("start", content_block=self._head)

    def _event(self, what: str, **fields: Any) -> Event:
        return {"type": f"content_block_{what}", "index": len(self.closed), **fields}


def usage(counts: TokenCounts) -> dict[str, Any]:
    """Tokens as Anthropic counts them: what the cache knew is no input."""
    fields: dict[str, Any] = {
        "input_tokens": counts.prompt - counts.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": counts.cached,
        "output_tokens": counts.completion,
    }
    if counts.reasoning is not None:
        fields["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
    return fields


def stop_fields(
    state: SequenceState, stop_sequences: list[str], max_tokens: int, *, has_calls: bool
) -> dict[str, Any]:
    """``stop_reason`` and ``stop_sequence`` of a sequence that has ended.

    Raises:
        RequestError: it was aborted, for which Anthropic's API has no reason.
    """
    assert state.finish is not None
    kind, matched = state.finish["type"], state.finish.get("matched")
    if kind == "abort":
        raise RequestError("the request was aborted", status=499)
    reason, sequence = "end_turn", None
    if kind == "length":
        is_own_limit = len(state.token_ids) >= max_tokens
        reason = "max_tokens" if is_own_limit else "model_context_window_exceeded"
    elif has_calls:
        reason = "tool_use"
    elif matched in stop_sequences:
        reason, sequence = "stop_sequence", matched
    return {"stop_reason": reason, "stop_sequence": sequence}


def _arguments(text: str) -> dict[str, Any]:
    """What a model wrote may be cut off, or no JSON at all; then it is passed on as it is."""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": text}


def _signature(text: str) -> str:
    """A checksum: clients expect that there is something, and nobody verifies it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
