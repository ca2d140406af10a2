"""What an evaluation item is, and how an answer is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..corpus.base import Message, Tool

Check = Callable[[str], bool]


@dataclass
class Item:
    """One question with the check of its answer.

    ``prompt`` is set for plain-text items; otherwise the item is a conversation.
    """

    category: str
    check: Check
    messages: list[Message] = field(default_factory=list)
    tools: list[Tool] | None = None
    parser: str = "llama3"
    prompt: str = ""

    @property
    def shown(self) -> str:
        """The last thing the user said, for reports."""
        return self.prompt or str(self.messages[-1]["content"])


def has(*parts: str) -> Check:
    """All parts occur; a part may give alternatives separated by ``|``. Case does not matter."""
    return lambda text: all(
        any(option.lower() in text.lower() for option in part.split("|")) for part in parts
    )


def has_not(*parts: str) -> Check:
    """None of the parts occurs."""
    return lambda text: not any(part.lower() in text.lower() for part in parts)


def both(*checks: Check) -> Check:
    """All checks hold."""
    return lambda text: all(check(text) for check in checks)


def exactly(expected: str) -> Check:
    """The text itself, up to case, quotes and the final punctuation."""
    return lambda text: _bare(text) == _bare(expected)


def _bare(text: str) -> str:
    return text.strip().strip("\"'").rstrip(".!").lower()


def number(expected: int) -> Check:
    """The last number of the answer."""
    return lambda text: (re.findall(r"\d+", text) or [""])[-1] == str(expected)


def matches(pattern: str) -> Check:
    """A regular expression is found."""
    return lambda text: re.search(pattern, text, re.DOTALL) is not None


def is_json(expected: Callable[[Any], bool]) -> Check:
    """The whole answer is JSON and fulfils a condition."""

    def check(text: str) -> bool:
        try:
            return bool(expected(json.loads(text)))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return False

    return check


def json_equals(value: Any) -> Check:
    """The whole answer is this JSON value."""
    return is_json(lambda found: found == value)


_CALLS = {
    "llama3": re.compile(r"^<\|python_tag\|>(\{.*\})$", re.DOTALL),
    "qwen25": re.compile(r"^<tool_call>\n(\{.*\})\n</tool_call>$", re.DOTALL),
    "mistral": re.compile(r"^\[TOOL_CALLS\] \[(\{.*\})\]$", re.DOTALL),
}


def calls(parser: str, name: str, arguments: dict[str, Any]) -> Check:
    """The answer is one call of this function in the format of the parser."""

    def check(text: str) -> bool:
        found = _CALLS[parser].match(text.strip())
        if found is None:
            return False
        try:
            call = json.loads(found[1])
        except ValueError:
            return False
        key = "parameters" if parser == "llama3" else "arguments"
        return bool(call.get("name") == name and call.get(key) == arguments)

    return check


def no_call(text: str) -> bool:
    """The answer holds no tool call."""
    return not any(tag in text for tag in ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"))
