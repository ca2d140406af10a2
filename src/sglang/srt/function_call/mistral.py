"""Mistral: ``[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]``.

Its newer tokenizers write ``[TOOL_CALLS]NAME[ARGS]{...}``, once a call, with ``[CALL_ID]...``
before the arguments in some versions.
"""

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm, random_letters
from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps

_ID, _ARGUMENTS = "[CALL_ID]", "[ARGS]"


class MistralDetector(JsonCallDetector):
    """A JSON list of calls, or a name and arguments, behind a tag."""

    starts = ("[TOOL_CALLS]",)
    tags = (_ID, _ARGUMENTS)
    template_marks = ("[TOOL_CALLS]",)
    form = CallForm("[TOOL_CALLS]", '[TOOL_CALLS] [{"name": "', '", "arguments": ', "}]")

    def read_calls(self, start: str) -> Steps[None]:
        yield from self.reader.space()
        if (yield from self.reader.accept("[")):
            yield from self._list()
        elif (yield from self.reader.peek()) == "{":
            yield from self.json_call()
        else:
            yield from self._named()

    def _list(self) -> Steps[None]:
        while True:
            yield from self.reader.space()
            is_call = yield from self.json_call()
            yield from self.reader.space()
            if (yield from self.reader.accept(",")):
                continue
            if (yield from self.reader.accept("]")) and is_call:
                self.reader.record()  # the bracket belongs to the call
            return

    def _named(self) -> Steps[None]:
        name = yield from self.reader.word()
        if self.schema(name) is None:
            return
        call_id = None
        if (yield from self.reader.accept(_ID)):
            call_id = yield from self.reader.word()
        yield from self.reader.accept(_ARGUMENTS)
        yield from self.json_arguments(name, call_id)

    def new_id(self, name: str) -> str:
        # Mistral's chat templates accept ids of nine letters and digits only.
        return random_letters(9)
