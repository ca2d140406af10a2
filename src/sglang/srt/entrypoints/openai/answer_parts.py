"""The parts of a chat answer: reasoning, text and tool calls, out of the text a model writes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

from sglang.srt.function_call.items import ToolCallItem, whole_calls
from sglang.srt.function_call_parser import FunctionCallParser
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.reasoning_parser import ReasoningParser


@dataclass(frozen=True)
class Piece:
    """What was added to one part of an answer."""

    kind: Literal["reasoning", "content", "call"]
    text: str
    """Of a call: arguments."""
    call: ToolCallItem | None = None
    """The call, which begins here if the item has a name."""


@dataclass
class Parts:
    """What a piece of the answer has added."""

    reasoning: str = ""
    content: str = ""
    calls: list[ToolCallItem] = field(default_factory=list)

    def deltas(self) -> list[dict[str, Any]]:
        """The same as ``delta`` objects of a stream, one for each change."""
        deltas: list[dict[str, Any]] = []
        if self.reasoning:
            deltas.append({"reasoning_content": self.reasoning})
        if self.content:
            deltas.append({"content": self.content})
        return deltas + [{"tool_calls": [_call_delta(call)]} for call in self.calls]

    def pieces(self) -> Iterator[Piece]:
        """The same one by one, in an order in which they can have been written."""
        if self.reasoning:
            yield Piece("reasoning", self.reasoning)
        begun = list(takewhile(lambda call: call.name is None, self.calls))
        yield from (Piece("call", call.parameters, call) for call in begun)
        if self.content:
            yield Piece("content", self.content)
        yield from (Piece("call", call.parameters, call) for call in self.calls[len(begun) :])


class PartsReader:
    """Reads one answer; the work for a piece is proportional to the piece."""

    def __init__(
        self,
        reasoning: ReasoningParser | None = None,
        calls: FunctionCallParser | None = None,
        *,
        separate_reasoning: bool = True,
        max_calls: int = sys.maxsize,
    ) -> None:
        """
        Args:
            reasoning: Takes the reasoning out. It keeps its tags if it is not to be separate.
            calls: Takes the calls out of what is no reasoning.
            separate_reasoning: False: the reasoning is part of the content.
            max_calls: Further calls are dropped.
        """
        self._reasoning = reasoning
        self._calls = calls
        self._separates = separate_reasoning
        self._max_calls = max_calls
        self._read_chars = 0
        self.has_calls = False
        """Whether there has been a call."""

    @property
    def reasoning_chars(self) -> int:
        """Length of the text up to the end of the reasoning, once the answer is over."""
        return 0 if self._reasoning is None else self._reasoning.reasoning_chars

    def advance(self, state: SequenceState) -> list[Parts]:
        """What the text of the sequence adds that has not been read yet."""
        first, self._read_chars = self._read_chars, len(state.text)
        parts = [self.push(state.text[first:])]
        if state.finish is not None:
            parts.append(self.finish())
        return parts

    def push(self, text: str) -> Parts:
        """What the next piece of the text adds."""
        if self._reasoning is None:
            return self._read_calls(Parts(), text)
        reasoning, text = self._reasoning.parse_stream_chunk(text)
        return self._read_calls(Parts(reasoning), text)

    def finish(self) -> Parts:
        """What was held back when the answer ended."""
        parts, text = Parts(), ""
        if self._reasoning is not None:
            parts.reasoning, text = self._reasoning.finish()
        return self._read_calls(parts, text, is_last=True)

    def _read_calls(self, parts: Parts, text: str, *, is_last: bool = False) -> Parts:
        """Add what ``text``, which is no reasoning, says."""
        if not self._separates:
            parts.reasoning, parts.content = "", parts.reasoning
        if self._calls is None:
            parts.content += text
            return parts
        for rest, calls in self._steps(self._calls, text, is_last):
            parts.content += rest
            parts.calls += [c for c in calls if c.tool_index < self._max_calls]
        self.has_calls = self.has_calls or bool(parts.calls)
        return parts

    @staticmethod
    def _steps(
        parser: FunctionCallParser, text: str, is_last: bool
    ) -> Iterator[tuple[str, list[ToolCallItem]]]:
        if text:
            yield parser.parse_stream_chunk(text)
        if is_last:
            yield parser.finish()


def message(parts: list[Parts], *, has_reasoning: bool) -> dict[str, Any]:
    """The ``message`` of a whole answer; ``has_reasoning``: it has a field for reasoning."""
    content = "".join(part.content for part in parts)
    reasoning = "".join(part.reasoning for part in parts)
    calls = whole_calls(call for part in parts for call in part.calls)
    fields: dict[str, Any] = {
        "role": "assistant",
        "content": None if not content and (calls or reasoning) else content,
        "refusal": None,
    }
    if has_reasoning:
        fields["reasoning_content"] = reasoning or None
    if calls:
        fields["tool_calls"] = [_whole_call(call) for call in calls]
    return fields


def _whole_call(call: ToolCallItem) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.parameters}
    return {"id": call.id, "type": "function", "function": function}


def _call_delta(call: ToolCallItem) -> dict[str, Any]:
    if call.name is None:
        return {"index": call.tool_index, "function": {"arguments": call.parameters}}
    return {"index": call.tool_index, **_whole_call(call)}
