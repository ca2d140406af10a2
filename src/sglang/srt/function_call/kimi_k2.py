"""Kimi K2: a section of calls, each with an id that holds the function's name.

``<|tool_calls_section_begin|><|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>{...}
<|tool_call_end|><|tool_calls_section_end|>``
"""

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.reader import Steps, Tags
from sglang.srt.function_call.sections import SectionDetector

_ARGUMENTS, _END = "<|tool_call_argument_begin|>", "<|tool_call_end|>"


class KimiK2Detector(SectionDetector):
    """JSON arguments behind an id."""

    section, section_end = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
    call = "<|tool_call_begin|>"
    starts = (section, call)
    tags = (section_end, _ARGUMENTS, _END)
    template_marks = (_ARGUMENTS,)
    form = CallForm(
        section, f"{section}{call}functions.", f":0{_ARGUMENTS}", f"{_END}{section_end}"
    )

    def new_id(self, name: str) -> str:
        # Kimi's chat templates show the id, and the model reads the name out of it.
        return f"functions.{name}:{self.num_calls}"

    def read_call(self) -> Steps[bool]:
        yield from self.reader.space()
        call_id = yield from self.reader.word()
        name = call_id.removeprefix("functions.").partition(":")[0]
        if self.schema(name) is None or not (yield from self.accept_after_space(_ARGUMENTS)):
            return False
        yield from self.reader.space()
        outcome = yield from self.json_arguments(name, call_id, end=Tags(_END))
        if outcome == "whole":
            yield from self.close(_END)
        return outcome != "no call"
