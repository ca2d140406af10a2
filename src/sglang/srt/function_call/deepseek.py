"""DeepSeek: calls in a section of their own.

V3 and R1 write ``function<｜tool▁sep｜>NAME`` and the arguments in a block of Markdown; V3.1
writes ``NAME<｜tool▁sep｜>{...}``. Both are read.
"""

# ruff: noqa: RUF001, RUF002 -- the tags have these characters

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.reader import Steps, Tags
from sglang.srt.function_call.sections import SectionDetector

_SEPARATOR, _END = "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_FENCE = "```"


class DeepSeekV3Detector(SectionDetector):
    """JSON arguments behind the function's name."""

    section, section_end = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    call = "<｜tool▁call▁begin｜>"
    starts = (section, call)
    tags = (section_end, _SEPARATOR, _END)
    template_marks = (_SEPARATOR,)
    form = CallForm(
        section,
        f"{section}{call}function{_SEPARATOR}",
        f"\n{_FENCE}json\n",
        f"\n{_FENCE}{_END}{section_end}",
    )

    def read_call(self) -> Steps[bool]:
        name = yield from self.reader.word()
        if not (yield from self.reader.accept(_SEPARATOR)):
            return False
        if name == "function" and self.schema(name) is None:
            name = yield from self.reader.word()
        if (yield from self.accept_after_space(_FENCE)):
            yield from self.reader.word()
            yield from self.reader.space()
        if self.schema(name) is None:
            return False
        outcome = yield from self.json_arguments(name, end=Tags(_END))
        if outcome == "whole":
            yield from self.close(_FENCE)
            yield from self.close(_END)
        return outcome != "no call"
