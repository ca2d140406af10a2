"""The lines of output and error files."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import msgspec
import orjson

from sglang.srt.batches.records import LineResult, Usage


class LineAnswer(NamedTuple):
    """What a route has answered to the body of a line."""

    status: int
    body: bytes
    """JSON."""
    request_id: str
    """By which the log knows it."""
    engine_died: bool = False
    """The engine ended while it worked on the line."""


class _Cached(msgspec.Struct):
    cached_tokens: int = 0


class _Reasoning(msgspec.Struct):
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct):
    """As completions say it, or as responses do."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None
    completion_tokens_details: _Reasoning | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_tokens_details: _Cached | None = None
    output_tokens_details: _Reasoning | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


def answered(number: int, custom_id: str, answer: LineAnswer) -> LineResult:
    """The result of a line that a route has answered, with whatever status."""
    response = {
        "status_code": answer.status,
        "request_id": answer.request_id,
        "body": orjson.Fragment(answer.body),
    }
    text = _line(custom_id, response, None)
    return LineResult(number, text, answer.status == 200, _usage(answer.body))


def unanswered(number: int, custom_id: str, code: str, message: str) -> LineResult:
    """The result of a line that has not been run."""
    text = _line(custom_id, None, {"code": code, "message": message})
    return LineResult(number, text, is_success=False)


def _line(custom_id: str, response: Any, error: Any) -> bytes:
    line = {
        "id": f"batch_req_{uuid.uuid4().hex}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _usage(body: bytes) -> Usage:
    usage = msgspec.json.decode(body, type=_Answer).usage or _Usage()
    cached = usage.prompt_tokens_details or usage.input_tokens_details
    reasoning = usage.completion_tokens_details or usage.output_tokens_details
    return Usage(
        usage.prompt_tokens + usage.input_tokens,
        cached.cached_tokens if cached else 0,
        usage.completion_tokens + usage.output_tokens,
        reasoning.reasoning_tokens if reasoning else 0,
    )
