"""Hermes, Qwen 2.5, Qwen 3: ``<tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>``."""

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps, Tags

_END = "</tool_call>"


class HermesDetector(JsonCallDetector):
    """One JSON object between two tags for each call."""

    starts = ("<tool_call>",)
    tags = (_END,)
    template_marks = ("<tool_call>",)
    form = CallForm("<tool_call>", '<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>")

    def read_calls(self, start: str) -> Steps[None]:
        yield from self.reader.space()
        if (yield from self.json_call(Tags(_END))):
            yield from self.close(_END)


class Qwen25Detector(HermesDetector):
    """The same under the name of Qwen 2.5."""
