"""GLM 4.5: keys and values between tags.

``<tool_call>NAME\\n<arg_key>KEY</arg_key>\\n<arg_value>VALUE</arg_value>\\n</tool_call>``
"""

from __future__ import annotations

from sglang.srt.function_call.parameters import ParameterDetector
from sglang.srt.function_call.reader import Steps, Tags

_CALL, _CALL_END = "<tool_call>", "</tool_call>"
_KEY, _KEY_END = "<arg_key>", "</arg_key>"
_VALUE, _VALUE_END = "<arg_value>", "</arg_value>"


class Glm45Detector(ParameterDetector):
    """A pair of tags for each key and each value."""

    starts = (_CALL,)
    tags = (_CALL_END, _KEY, _KEY_END, _VALUE, _VALUE_END)
    template_marks = (_KEY,)

    def read_calls(self, start: str) -> Steps[None]:
        yield from self.reader.space()
        name = yield from self.reader.word()
        has_key = yield from self.accept_after_space(_KEY)
        is_over = not has_key and (yield from self.reader.accept(_CALL_END))
        if self.schema(name) is None or not (has_key or is_over):
            return
        self.begin_parameters(name)
        while has_key:
            if not (yield from self._key_and_value()):
                return
            has_key = yield from self.accept_after_space(_KEY)
        if not is_over and (yield from self.reader.peek()) == "":
            return
        self.end_parameters()
        if not is_over:
            yield from self.close(_CALL_END)

    def _key_and_value(self) -> Steps[bool]:
        key: list[str] = []
        yield from self.reader.until(Tags(_KEY_END), key.append)
        yield from self.accept_after_space(_VALUE)
        return (yield from self.parameter("".join(key).strip(), Tags(_VALUE_END)))
