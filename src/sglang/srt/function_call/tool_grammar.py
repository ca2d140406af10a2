"""Calls that a grammar makes sure of: that there is one, and that its arguments are as declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sglang.srt.function_call.detector import CallForm

if TYPE_CHECKING:
    from sglang.srt.managers.io_struct import Tool


def tool_grammar(
    tools: Sequence[Tool], form: CallForm, *, must_call: bool, stop_after_first: bool
) -> dict[str, Any]:
    """A structural tag in which calls are only possible as ``tools`` declare them.

    Args:
        tools: What may be called; arguments of those that are not ``strict`` need only be objects,
            unless a call is demanded.
        form: How calls are written.
        must_call: The answer begins with a call.
        stop_after_first: The answer ends with the first call.
    """
    structures = [
        {
            "begin": form.before_name + tool.function.name + form.after_name,
            "schema": _schema(tool, must_call),
            "end": form.end,
        }
        for tool in tools
    ]
    return {
        "type": "structural_tag",
        "triggers": [form.trigger],
        "structures": structures,
        "at_least_one": must_call,
        "stop_after_first": stop_after_first,
    }


def _schema(tool: Tool, must_call: bool) -> dict[str, Any]:
    declared = tool.function.parameters if must_call or tool.function.strict else None
    return {"type": "object", **(declared or {})}
