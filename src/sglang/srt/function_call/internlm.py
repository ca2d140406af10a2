"""InternLM: ``<|action_start|><|plugin|>{"name": ..., "parameters": {...}}<|action_end|>``."""

from __future__ import annotations

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps, Tags

_ACTION, _PLUGIN, _END = "<|action_start|>", "<|plugin|>", "<|action_end|>"


class InternlmDetector(JsonCallDetector):
    """One JSON object between tags for each call."""

    starts = (_ACTION, _PLUGIN)
    tags = (_END,)
    template_marks = (_PLUGIN,)
    form = CallForm(_PLUGIN, f'{_PLUGIN}\n{{"name": "', '", "parameters": ', f"}}\n{_END}")

    def read_calls(self, start: str) -> Steps[None]:
        yield from self.reader.space()
        if start == _ACTION:
            if not (yield from self.reader.accept(_PLUGIN)):
                return
            yield from self.reader.space()
        if (yield from self.json_call(Tags(_END))):
            yield from self.close(_END)
