"""Llama 3.1 and 3.2: ``<|python_tag|>{"name": ..., "parameters": {...}}``.

Several calls are separated by ``;``. The tag may be missing if the answer begins with a call. The
form for custom tools, ``<function=NAME>{...}</function>``, is read as well.
"""

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps, Tags

_PYTHON_TAG = "<|python_tag|>"
_END = "</function>"


class Llama32Detector(JsonCallDetector):
    """JSON objects behind a tag or at the beginning."""

    starts = (_PYTHON_TAG, "<function=")
    tags = ("<|eom_id|>",)
    template_marks = ("<|python_tag|>",)
    form = CallForm(_PYTHON_TAG, f'{_PYTHON_TAG}{{"name": "', '", "parameters": ', "}")

    def has_tool_call(self, text: str) -> bool:
        return super().has_tool_call(text) or text.lstrip().startswith("{")

    def read(self) -> Steps[None]:
        yield from self.attempt("", self._objects())
        yield from super().read()

    def read_calls(self, start: str) -> Steps[None]:
        if start == _PYTHON_TAG:
            yield from self._objects()
            return
        name = yield from self.reader.word()
        if self.schema(name) is None or not (yield from self.reader.accept(">")):
            return
        if (yield from self.json_arguments(name, end=Tags(_END))) == "whole":
            yield from self.close(_END)

    def _objects(self) -> Steps[None]:
        is_call = False
        yield from self.reader.space()
        while (yield from self.reader.peek()) == "{":
            is_call = yield from self.json_call(Tags(_PYTHON_TAG))
            if (yield from self.accept_after_space(";")) or (yield from self.reader.accept(",")):
                yield from self.reader.space()
        if is_call and (yield from self.reader.peek()) == "":
            self.reader.record()  # a last separator separates nothing
