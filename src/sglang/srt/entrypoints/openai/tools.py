"""The tools of a chat request: what may be called, and what must be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from sglang.srt.function_call.schema_check import SchemaError, check_parameters
from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.managers.io_struct import Function, Tool

MAX_TOOLS = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict"})
_ANNOTATIONS = frozenset({"return", "returns", "response"})
"""What tools that describe Python functions add; templates may show it."""
_CHOICES = 'none, auto, required or {"type": "function", "function": {"name": ...}}'


@dataclass(frozen=True)
class ToolUse:
    """The tools of a request in which something may be called."""

    tools: list[Tool]
    shown: list[dict[str, Any]]
    """The same as a chat template sees them."""
    mode: Literal["auto", "required"]
    """Whether the model may call or has to."""
    only: str | None
    """The one function it has to call."""
    is_parallel: bool
    """Whether it may make several calls."""

    @property
    def callable_tools(self) -> list[Tool]:
        """Those that may be called."""
        return [tool for tool in self.tools if self.only in (None, tool.function.name)]


def read_tool_use(
    raw: list[dict[str, Any]] | None, choice: Any, is_parallel: bool | None
) -> ToolUse | None:
    """Check ``tools``, ``tool_choice`` and ``parallel_tool_calls``; None: nothing may be called.

    Raises:
        RequestError: naming the place.
    """
    tools = read_tools(raw or [])
    mode, only = _read_choice(choice, tools)
    if not tools and mode == "required":
        raise RequestError("tool_choice asks for a call, but there are no tools", param="tools")
    if not tools or mode == "none":
        return None
    shown = [_shown(given, tool) for given, tool in zip(raw or [], tools, strict=True)]
    return ToolUse(tools, shown, mode, only, is_parallel is not False)


def read_tools(raw: list[Any]) -> list[Tool]:
    """The tools of a request's ``tools``.

    Raises:
        RequestError: naming the place.
    """
    if len(raw) > MAX_TOOLS:
        raise RequestError(
            f"tools has {len(raw)} entries; at most {MAX_TOOLS} are allowed", param="tools"
        )
    tools = [_read_tool(item, f"tools[{i}]") for i, item in enumerate(raw)]
    names: set[str] = set()
    for i, tool in enumerate(tools):
        if tool.function.name in names:
            _refuse(f"tools[{i}].function.name", f"{tool.function.name!r} is there twice")
        names.add(tool.function.name)
    return tools


def _read_tool(raw: Any, where: str) -> Tool:
    if not isinstance(raw, dict):
        _refuse(where, 'must be {"type": "function", "function": {...}}')
    kind = raw.get("type", "function")
    if kind in ("custom", "web_search", "file_search", "code_interpreter", "mcp"):
        raise NotImplementedYetError(f"{where}.type {kind!r}", param=f"{where}.type")
    if kind != "function":
        _refuse(f"{where}.type", f"must be 'function', got {repr(kind)[:60]}")
    _refuse_unknown(raw, {"type", "function"}, where)
    function = raw.get("function")
    if not isinstance(function, dict):
        _refuse(f"{where}.function", "must be an object with a name and parameters")
    return Tool(_read_function(function, f"{where}.function"))


def _read_function(raw: dict[str, Any], where: str) -> Function:
    _refuse_unknown(raw, _FUNCTION_FIELDS | _ANNOTATIONS, where)
    name = raw.get("name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        _refuse(
            f"{where}.name",
            f"must be 1 to 64 letters, digits, _, - and ., got {repr(name)[:90]}",
        )
    description = raw.get("description")
    if not isinstance(description, str | None):
        _refuse(f"{where}.description", "must be a string")
    strict = raw.get("strict")
    if not isinstance(strict, bool | None):
        _refuse(f"{where}.strict", "must be true or false")
    parameters = raw.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    try:
        check_parameters(parameters, f"{where}.parameters")
    except SchemaError as error:
        raise RequestError(str(error), param=error.where) from None
    return Function(name, description, parameters, strict=strict is True)


def _read_choice(
    choice: Any, tools: list[Tool]
) -> tuple[Literal["none", "auto", "required"], str | None]:
    if choice is None:
        return "auto", None
    if choice in ("none", "auto", "required"):
        return choice, None
    if not isinstance(choice, dict) or choice.get("type") not in ("function", "allowed_tools"):
        shown = "an object" if isinstance(choice, dict) else repr(choice)[:60]
        raise RequestError(f"tool_choice must be {_CHOICES}; got {shown}", param="tool_choice")
    if choice["type"] == "allowed_tools":
        raise NotImplementedYetError("tool_choice of type 'allowed_tools'", param="tool_choice")
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        _refuse("tool_choice.function.name", "must be the name of one of the tools")
    if all(tool.function.name != name for tool in tools):
        _refuse("tool_choice.function.name", f"{name[:64]!r} is none of the tools")
    return "required", name


def _shown(raw: dict[str, Any], tool: Tool) -> dict[str, Any]:
    function = {k: v for k, v in raw["function"].items() if k != "strict" and v is not None}
    # Templates look into the parameters without asking whether there are any.
    function["parameters"] = tool.function.parameters
    return {"type": "function", "function": function}


def _refuse_unknown(raw: dict[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    for name in raw.keys() - known:
        field = f"{where}.{name[:60]}"
        raise RequestError(f"unknown field {field!r}", param=field, code="unknown_field")


def _refuse(where: str, problem: str) -> NoReturn:
    raise RequestError(f"{where} {problem}", param=where)
