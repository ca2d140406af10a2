"""gpt-oss: calls are messages of the Harmony format that are addressed to a function.

``<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}<|call|>``. The address
may also stand in front of the channel. Messages to nobody are text; ``--reasoning-parser gpt-oss``
takes them apart.
"""

from __future__ import annotations

import re

from sglang.srt.function_call.detector import CallForm
from sglang.srt.function_call.json_calls import JsonCallDetector
from sglang.srt.function_call.reader import Steps, Tags

MESSAGE, END, RETURN, CALL = "<|message|>", "<|end|>", "<|return|>", "<|call|>"
TAGS = ("<|start|>", "<|channel|>", "<|constrain|>", MESSAGE, END, RETURN, CALL)
HEADER_STARTS = ("<|start|>assistant", "<|channel|>")
HEADER_ENDS = Tags(MESSAGE, END, RETURN, CALL)

_ADDRESS = re.compile(r"\bto=functions\.([\w.-]+)")


class GptOssDetector(JsonCallDetector):
    """JSON arguments as a message to the function."""

    starts = HEADER_STARTS
    tags = TAGS
    template_marks = (MESSAGE,)
    form = CallForm(
        "<|channel|>commentary to=functions.",
        "<|channel|>commentary to=functions.",
        f" <|constrain|>json{MESSAGE}",
        CALL,
    )

    def read_calls(self, start: str) -> Steps[None]:
        header: list[str] = []
        tag = yield from self.reader.until(HEADER_ENDS, header.append)
        address = _ADDRESS.search("".join(header))
        if tag != MESSAGE or address is None or self.schema(address[1]) is None:
            return
        yield from self.reader.space()
        if (yield from self.json_arguments(address[1], end=Tags(CALL, END))) == "whole":
            yield from self.close(CALL)
