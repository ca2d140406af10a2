"""Calls that are written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from sglang.srt.function_call.detector import BaseFormatDetector
from sglang.srt.function_call.reader import NO_TAGS, Steps, Tags, decode_string

_ARGUMENTS = ("arguments", "parameters")
_OTHERS = ("id", "type")

Outcome = Literal["no call", "broken", "whole"]


@dataclass
class _Members:
    """What is known of a call while its object is read."""

    name: str | None = None
    arguments: str | None = None
    """Those that were not passed on as they came."""
    is_call: bool = False


class JsonCallDetector(BaseFormatDetector):
    """Reads calls that are JSON objects, and the JSON arguments of others."""

    def json_arguments(
        self, name: str, id: str | None = None, end: Tags = NO_TAGS
    ) -> Steps[Outcome]:
        """Read an object as the arguments of a function that is offered.

        If it breaks off, everything up to one of ``end`` belongs to the arguments.
        """
        if not (yield from self.reader.accept("{")):
            return "no call"
        space = yield from self.reader.space()
        if (yield from self.reader.peek()) not in ('"', "}"):
            return "no call"
        self.begin_call(name, id)
        self.arguments("{" + space)
        is_whole = yield from self.reader.json_value(self.arguments, depth=1)
        if not is_whole:
            yield from self.reader.until(end, self.arguments)
        self.end_call()
        return "whole" if is_whole else "broken"

    def json_call(self, end: Tags = NO_TAGS) -> Steps[bool]:
        """Read an object with a ``name`` and ``arguments`` (or ``parameters``) in any order.

        False if it is no call: then it is text, and so is what was recorded before it.
        """
        if not (yield from self.reader.accept("{")):
            return False
        members = _Members()
        is_closed = yield from self._members(members, end)
        if is_closed and members.name is not None and not members.is_call:
            self._pass_on(members)
        if members.is_call:
            if is_closed:
                self.reader.record()  # the brackets belong to the call
            return True
        self.text(self.reader.recorded())
        if not is_closed:
            yield from self.reader.json_value(self.text, depth=1)
        self.reader.record()
        return False

    def _members(self, members: _Members, end: Tags) -> Steps[bool]:
        """Read members up to the closing bracket; False if that is not reached."""
        while not (yield from self.accept_after_space("}")):
            if not (yield from self._member(members, end)):
                return False
            if not (yield from self.accept_after_space(",")):
                return (yield from self.reader.accept("}"))
        return True

    def _member(self, members: _Members, end: Tags) -> Steps[bool]:
        key = yield from self.reader.json_string()
        if key is None or not (yield from self.accept_after_space(":")):
            return False
        yield from self.reader.space()
        if members.is_call:
            return (yield from self.reader.json_value(_ignore))
        if key == "name":
            return (yield from self._name(members))
        if key in _ARGUMENTS:
            return (yield from self._arguments(members, end))
        return key in _OTHERS and (yield from self.reader.json_value(_ignore))

    def _name(self, members: _Members) -> Steps[bool]:
        members.name = yield from self.reader.json_string()
        if members.name is None or self.schema(members.name) is None:
            return False
        if members.arguments is not None:
            self._pass_on(members)
        return True

    def _arguments(self, members: _Members, end: Tags) -> Steps[bool]:
        if members.name is not None and (yield from self.reader.peek()) == "{":
            outcome = yield from self.json_arguments(members.name, end=end)
            members.is_call = outcome != "no call"
            return outcome == "whole"
        parts: list[str] = []
        if not (yield from self.reader.json_value(parts.append)):
            return False
        members.arguments = _object_text("".join(parts))
        if members.arguments is None:
            return False
        if members.name is not None:
            self._pass_on(members)
        return True

    def _pass_on(self, members: _Members) -> None:
        assert members.name is not None
        self.begin_call(members.name)
        self.arguments(members.arguments or "{}")
        self.end_call()
        members.is_call = True


def _ignore(piece: str) -> None:
    """A sink for what only has to be read."""


def _object_text(value: str) -> str | None:
    """Arguments that are an object, none at all, or an object written into a string."""
    if value == "null":
        return "{}"
    if value.startswith('"'):
        value = decode_string(value) or ""
        try:
            return value if isinstance(json.loads(value), dict) else None
        except (ValueError, RecursionError):
            return None
    return value if value.startswith("{") else None
