"""Qwen3-Coder: a function's parameters between tags, each value as text.

``<tool_call>\\n<function=NAME>\\n<parameter=KEY>\\nVALUE\\n</parameter>\\n</function>\\n</tool_call>``.
The outer tags may be missing.
"""

from __future__ import annotations

from sglang.srt.function_call.parameters import ParameterDetector
from sglang.srt.function_call.reader import Steps, Tags

_CALL, _CALL_END = "<tool_call>", "</tool_call>"
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"


class Qwen3CoderDetector(ParameterDetector):
    """One pair of tags for each parameter."""

    starts = (_CALL, _FUNCTION)
    tags = (_CALL_END, _FUNCTION_END, _PARAMETER, _PARAMETER_END)
    template_marks = (_PARAMETER,)

    def read_calls(self, start: str) -> Steps[None]:
        if start == _CALL and not (yield from self.accept_after_space(_FUNCTION)):
            return
        name = yield from self.reader.word()
        if self.schema(name) is None or not (yield from self.reader.accept(">")):
            return
        self.begin_parameters(name)
        while (yield from self.accept_after_space(_PARAMETER)):
            key: list[str] = []
            yield from self.reader.until(Tags(">"), key.append)
            if not (yield from self.parameter("".join(key), Tags(_PARAMETER_END), is_block=True)):
                return
        if (yield from self.reader.peek()) == "":
            return
        self.end_parameters()
        yield from self.close(_FUNCTION_END)
        yield from self.close(_CALL_END)
