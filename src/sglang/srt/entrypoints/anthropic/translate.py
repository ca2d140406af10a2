"""A body of Anthropic's API as the chat request that asks for the same."""

from __future__ import annotations

from typing import Any

from sglang.srt.entrypoints.anthropic.history import chat_messages
from sglang.srt.entrypoints.anthropic.protocol import MessagesRequest, PromptRequest, Thinking
from sglang.srt.entrypoints.openai.protocol import ChatRequest
from sglang.srt.entrypoints.openai.protocol import parse_request as parse_chat
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import NotImplementedYetError, RequestError

NAMES = {
    "continue_final_message": "messages",
    "function.description": "description",
    "function.name": "name",
    "function.parameters": "input_schema",
    "function.strict": "strict",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "thinking_budget": "thinking.budget_tokens",
}
"""Names of fields in the chat request -> those that the client used, for errors."""

_DEFAULT_EFFORT = "high"
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_TOOL_FIELDS = {"name", "description", "input_schema", "strict", "type"}
_HARMLESS_TOOL_FIELDS = {"cache_control", "eager_input_streaming"}
"""Prefixes are cached, and arguments streamed, without being told to."""
_NEUTRAL: dict[str, Any] = {"allowed_callers": ["direct"], "defer_loading": False}


def to_chat(state: ServerState, body: PromptRequest, extras: dict[str, Any]) -> ChatRequest:
    """The chat request; ``extras`` are fields that it takes as they are.

    Raises:
        RequestError: naming the place.
    """
    messages = chat_messages(body.system, body.messages)
    fields: dict[str, Any] = {
        "model": body.model,
        "messages": messages,
        "continue_final_message": _is_begun(messages),
        **_tools(body),
        **_output(body),
    }
    if isinstance(body, MessagesRequest):
        fields |= {
            "max_tokens": body.max_tokens,
            "stop": body.stop_sequences or None,
            "stream": body.stream,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "top_k": body.top_k,
        }
    if body.thinking is not None:
        fields |= _thinking(state, body.thinking)
    variables = fields.get("chat_template_kwargs", {}) | extras.get("chat_template_kwargs", {})
    return parse_chat(ChatRequest, {**fields, **extras, "chat_template_kwargs": variables})


def _is_begun(messages: list[dict[str, Any]]) -> bool:
    """Whether the last message is the beginning of the answer."""
    last = messages[-1]
    if last["role"] != "assistant":
        return False
    if last.get("tool_calls"):
        raise RequestError(
            "the last message calls tools; their results have to follow", param="messages"
        )
    return True


def _thinking(state: ServerState, thinking: Thinking) -> dict[str, Any]:
    """What makes the model reason or not, where that is known."""
    if thinking.type == "enabled" and thinking.budget_tokens is None:
        raise RequestError("thinking.budget_tokens is missing", param="thinking.budget_tokens")
    if state.server_args.reasoning_parser is None or thinking.type == "adaptive":
        return {}
    fields: dict[str, Any] = {}
    is_enabled = thinking.type == "enabled"
    template = state.chat_template
    if template is not None and "enable_thinking" in template.source:
        fields["chat_template_kwargs"] = {"enable_thinking": is_enabled}
    return {**fields, "thinking_budget": thinking.budget_tokens if is_enabled else 0}


def _output(body: PromptRequest) -> dict[str, Any]:
    config = body.output_config
    if config is None:
        return {}
    fields: dict[str, Any] = {}
    if config.effort not in (None, _DEFAULT_EFFORT):
        fields["reasoning_effort"] = config.effort
    if config.format is not None:
        schema = {"name": "output", "schema": config.format.format_schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def _tools(body: PromptRequest) -> dict[str, Any]:
    tools = [_tool(raw, f"tools[{i}]") for i, raw in enumerate(body.tools or [])]
    fields: dict[str, Any] = {"tools": tools} if tools else {}
    choice = body.tool_choice
    if choice is None:
        return fields
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool":
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _CHOICES:
        fields["tool_choice"] = _CHOICES[kind]
    else:
        raise RequestError(
            "tool_choice must be an object whose type is auto, any, tool or none",
            param="tool_choice",
        )
    for name in choice.keys() - {"type", "name", "disable_parallel_tool_use"}:
        _refuse_unknown(f"tool_choice.{name[:60]}")
    if choice.get("disable_parallel_tool_use") is not None:
        is_single = choice["disable_parallel_tool_use"]
        if not isinstance(is_single, bool):
            where = "tool_choice.disable_parallel_tool_use"
            raise RequestError(f"{where} must be true or false", param=where)
        fields["parallel_tool_calls"] = not is_single
    return fields


def _tool(raw: Any, where: str) -> dict[str, Any]:
    """A tool of the client's own as a function; its details are checked as those of a chat."""
    if not isinstance(raw, dict):
        raise RequestError(f"{where} must be an object with name and input_schema", param=where)
    kind = raw.get("type")
    if kind not in (None, "custom"):
        raise NotImplementedYetError(f"{where}.type {str(kind)[:60]!r}", param=f"{where}.type")
    for name in raw.keys() - _TOOL_FIELDS - _HARMLESS_TOOL_FIELDS:
        field = f"{where}.{name[:60]}"
        if name not in (*_NEUTRAL, "input_examples"):
            _refuse_unknown(field)
        if raw[name] and raw[name] != _NEUTRAL.get(name):
            raise NotImplementedYetError(field, param=field)
    if raw.get("input_schema") is None:
        field = f"{where}.input_schema"
        raise RequestError(f"{field} is missing", param=field)
    function = {
        "name": raw.get("name"),
        "description": raw.get("description"),
        "parameters": raw["input_schema"],
        "strict": raw.get("strict"),
    }
    return {"type": "function", "function": function}


def _refuse_unknown(field: str) -> None:
    raise RequestError(f"unknown field {field!r}", param=field, code="unknown_field")
