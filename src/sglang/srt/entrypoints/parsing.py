"""The native routes that take an answer apart: ``/function_call`` and ``/separate_reasoning``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import NotRequired, TypedDict

from sglang.srt.entrypoints.body import check_fields, read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.answer_plan import call_format_of
from sglang.srt.entrypoints.openai.tools import read_tools
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.function_call_parser import FunctionCallParser
from sglang.srt.managers.errors import RequestError
from sglang.srt.reasoning_parser import ReasoningParser

MAX_CHARS = 1 << 20
THREAD_FROM_CHARS = 1 << 17
"""Longer texts are parsed off the event loop."""


class FunctionCallBody(TypedDict):
    """Body of ``/function_call``."""

    text: str
    tools: list[dict[str, Any]]
    tool_call_parser: NotRequired[str]
    """One of those of --tool-call-parser; by default the server's."""


class SeparateReasoningBody(TypedDict):
    """Body of ``/separate_reasoning``."""

    text: str
    reasoning_parser: NotRequired[str]
    """One of those of --reasoning-parser; by default the server's."""


async def function_call(state: ServerState, request: Request) -> Response:
    """The calls in a text that a model has written, and the rest of it."""
    body = await read_json_object(request)
    check_fields(body, FunctionCallBody.__annotations__)
    text = _text(body)
    tools = body.get("tools")
    if not isinstance(tools, list):
        raise RequestError("tools must be a list of functions", param="tools")
    name = _parser_name(body, "tool_call_parser", call_format_of(state))
    try:
        parser = FunctionCallParser(read_tools(tools), name)
    except RequestError:
        raise
    except ValueError as error:
        raise RequestError(str(error), param="tool_call_parser") from None
    normal_text, calls = await _parse(state, parser, text)
    items = [
        {"tool_index": call.tool_index, "name": call.name, "parameters": call.parameters}
        for call in calls
    ]
    return json_response({"normal_text": normal_text, "calls": items})


async def separate_reasoning(state: ServerState, request: Request) -> Response:
    """The reasoning in a text that a model has written, and the rest of it."""
    body = await read_json_object(request)
    check_fields(body, SeparateReasoningBody.__annotations__)
    text = _text(body)
    name = _parser_name(body, "reasoning_parser", state.server_args.reasoning_parser)
    try:
        parser = ReasoningParser(name)
    except ValueError as error:
        raise RequestError(str(error), param="reasoning_parser") from None
    reasoning, rest = await _parse(state, parser, text)
    return json_response({"reasoning_text": reasoning, "text": rest})


async def _parse(
    state: ServerState, parser: FunctionCallParser | ReasoningParser, text: str
) -> tuple[str, Any]:
    if len(text) < THREAD_FROM_CHARS:
        return parser.parse_non_stream(text)
    found: tuple[str, Any] = await state.manager.run_in_thread(parser.parse_non_stream, text)
    return found


def _text(body: dict[str, Any]) -> str:
    text = body.get("text")
    if not isinstance(text, str):
        raise RequestError("text must be a string", param="text")
    if len(text) > MAX_CHARS:
        raise RequestError(
            f"text has {len(text)} characters; at most {MAX_CHARS} are allowed", param="text"
        )
    return text


def _parser_name(body: dict[str, Any], field: str, default: str | None) -> str:
    name = default if body.get(field) is None else body[field]
    if not isinstance(name, str):
        what = "must be a string" if name is not None else "is missing, and the server has none"
        raise RequestError(f"{field} {what}", param=field)
    return name
