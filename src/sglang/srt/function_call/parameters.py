"""Calls whose arguments are written one by one, as text.

What such a text means follows from the function's schema: for a string it is the string itself, for
anything else JSON or a Python literal. What is neither is passed on as a string.
"""

from __future__ import annotations

import json
from typing import Any

from sglang.srt.function_call.detector import BaseFormatDetector
from sglang.srt.function_call.python_literals import json_of_literal
from sglang.srt.function_call.reader import Sink, Steps, Tags


class ParameterDetector(BaseFormatDetector):
    """Puts arguments together that come one by one.

    The arguments of a call that the text breaks off in are left open, so that nobody takes them
    for complete.
    """

    def begin_parameters(self, name: str) -> None:
        """It is a call of ``name``."""
        self.begin_call(name)
        properties = (self.schema(name) or {}).get("properties")
        self._properties = properties if isinstance(properties, dict) else {}
        self._separator = ""
        self.arguments("{")

    def parameter(self, key: str, end: Tags, *, is_block: bool = False) -> Steps[bool]:
        """Read the value of ``key`` up to one of ``end``; False if the text ends before.

        ``is_block``: line breaks right after and before the tags are not part of the value.
        """
        self.begin_value(key)
        schema = self._properties.get(key)
        value = (_String if is_string(schema) else _Literal)(self.arguments, is_block)
        if (yield from self.reader.until(end, value.push)) is None:
            value.break_off()
            return False
        value.end()
        return True

    def begin_value(self, key: str) -> None:
        """What is passed on next is the value of ``key``."""
        self.arguments(f"{self._separator}{json.dumps(key, ensure_ascii=False)}: ")
        self._separator = ", "

    def end_parameters(self) -> None:
        """All arguments are there."""
        self.arguments("}")
        self.end_call()


class _Value:
    """Text that arrives in pieces, on its way to JSON."""

    def __init__(self, sink: Sink, is_block: bool) -> None:
        self.sink = sink
        self._is_block = is_block
        self._is_first = True
        self._held = ""

    def push(self, text: str) -> None:
        if self._is_block:
            if self._is_first and text.startswith("\n"):
                text = text[1:]
            self._is_first = False
            text = self._held + text
            self._held = text[-1:] if text.endswith("\n") else ""
            text = text[: len(text) - len(self._held)]
        if text:
            self.write(text)

    def write(self, text: str) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def break_off(self) -> None:
        raise NotImplementedError


class _String(_Value):
    """A string, passed on as it comes."""

    _opening = '"'

    def write(self, text: str) -> None:
        self.sink(self._opening + json.dumps(text, ensure_ascii=False)[1:-1])
        self._opening = ""

    def end(self) -> None:
        self.sink(self._opening + '"')

    def break_off(self) -> None:
        if not self._opening:
            self.sink(json.dumps(self._held)[1:-1])


class _Literal(_Value):
    """JSON or a Python literal, which shows only at its end."""

    def __init__(self, sink: Sink, is_block: bool) -> None:
        super().__init__(sink, is_block)
        self._parts: list[str] = []

    def write(self, text: str) -> None:
        self._parts.append(text)

    def end(self) -> None:
        self.sink(json_of("".join(self._parts)))

    def break_off(self) -> None:
        self.sink("".join(self._parts))


def is_string(schema: Any) -> bool:
    """Whether a schema allows nothing but strings."""
    if not isinstance(schema, dict):
        return False
    choices = schema.get("enum")
    if "type" not in schema and isinstance(choices, list):
        return all(isinstance(choice, str) for choice in choices)
    return schema.get("type") in ("string", ["string"])


def json_of(text: str) -> str:
    """JSON for what a model wrote as a value: JSON, a Python literal, or else a string."""
    literal = text.strip()
    try:
        json.loads(literal, parse_constant=_refuse)
        return literal
    except (ValueError, RecursionError):
        return json_of_literal(literal) or json.dumps(text, ensure_ascii=False)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
