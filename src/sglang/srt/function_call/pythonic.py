"""Llama 3.2, Llama 4 and others: calls as Python, ``[NAME(key="value"), ...]``."""

from __future__ import annotations

from sglang.srt.function_call.parameters import ParameterDetector, json_of
from sglang.srt.function_call.reader import Sink, Steps, Tags

_START, _END = "<|python_start|>", "<|python_end|>"
_MARKS = Tags(*"\"'()[]{},")
_IN_QUOTES = {quote: Tags(quote, "\\") for quote in "\"'"}


class PythonicDetector(ParameterDetector):
    """A list of calls with keyword arguments, which are literals."""

    starts = ("[", _START)
    tags = (_END,)
    template_marks = (_START,)

    def read_calls(self, start: str) -> Steps[None]:
        if start == _START and not (yield from self.accept_after_space("[")):
            return
        before = self.num_calls
        name = yield from self._name()
        if self.schema(name) is None or not (yield from self._call(name)):
            return
        while (yield from self.accept_after_space(",")):
            name = yield from self._name()
            if not name or not (yield from self._call(name)):
                return
        if (yield from self.reader.accept("]")) and self.num_calls > before:
            self.reader.record()
            if start == _START:
                yield from self.close(_END)

    def _name(self) -> Steps[str]:
        """Read ``NAME(``; "" if it is something else."""
        yield from self.reader.space()
        name = yield from self.reader.word()
        return name if (yield from self.reader.accept("(")) else ""

    def _call(self, name: str) -> Steps[bool]:
        """Read the arguments; False if this is no call or the text breaks off in it."""
        has_ended = yield from self.accept_after_space(")")
        key = "" if has_ended else (yield from self._key())
        if self.schema(name) is None or not (has_ended or key):
            return (yield from self._skip(has_ended))
        self.begin_parameters(name)
        while key:
            value: list[str] = []
            mark = yield from self._value(value.append)
            self.begin_value(key)
            if not mark:
                self.arguments("".join(value))
                return False
            self.arguments(json_of("".join(value)))
            has_ended = mark == ")" or (yield from self.accept_after_space(")"))
            key = "" if has_ended else (yield from self._key())
        if not has_ended and (yield from self.reader.peek()) == "":
            return False
        self.end_parameters()
        return has_ended

    def _skip(self, has_ended: bool) -> Steps[bool]:
        """Pass a call of something else on as text, to its end."""
        self.text(self.reader.recorded())
        mark = ")" if has_ended else None
        while mark not in ("", ")"):
            mark = yield from self._value(self.text)
            self.text(mark)
        self.reader.record()
        return mark == ")"

    def _key(self) -> Steps[str]:
        """Read ``key=``; "" if it is something else."""
        yield from self.reader.space()
        key = yield from self.reader.word()
        return key if (yield from self.accept_after_space("=")) else ""

    def _value(self, sink: Sink) -> Steps[str]:
        """Read an expression and the comma or bracket that ends it; "" if the text ends before."""
        depth = 0
        while (mark := (yield from self.reader.until(_MARKS, sink))) is not None:
            if depth == 0 and mark in ",)":
                return mark
            sink(mark)
            if mark in _IN_QUOTES:
                yield from self._quoted(mark, sink)
            elif mark != ",":
                depth = depth + 1 if mark in "([{" else max(depth - 1, 0)
        return ""

    def _quoted(self, quote: str, sink: Sink) -> Steps[None]:
        while (mark := (yield from self.reader.until(_IN_QUOTES[quote], sink))) is not None:
            sink(mark)
            if mark == quote:
                return
            sink((yield from self.reader.char()))
