"""What a tool call parser finds in an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class ToolCallItem:
    """A call, or a piece of one.

    The first piece of a call has the name; those that follow have only ``parameters``. All pieces
    of a call joined are its arguments as JSON text.
    """

    tool_index: int
    """Which call of the answer this is, from 0."""
    name: str | None = None
    parameters: str = ""
    id: str | None = None
    """With the name: the call's id where the format brings or demands one."""


@dataclass
class StreamingParseResult:
    """What a piece of the answer's text has added."""

    normal_text: str = ""
    calls: list[ToolCallItem] = field(default_factory=list)


def whole_calls(pieces: Iterable[ToolCallItem]) -> list[ToolCallItem]:
    """The calls that ``pieces`` make up, one item each."""
    arguments: dict[int, list[str]] = {}
    named: list[ToolCallItem] = []
    for piece in pieces:
        if piece.name is not None:
            named.append(piece)
        arguments.setdefault(piece.tool_index, []).append(piece.parameters)
    return [
        ToolCallItem(call.tool_index, call.name, "".join(arguments[call.tool_index]), call.id)
        for call in named
    ]
