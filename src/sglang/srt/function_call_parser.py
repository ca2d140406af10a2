"""Tool calls in what a model writes.

:class:`FunctionCallParser` turns the text of an answer, whole or in pieces, into text and calls of
the functions that were offered. A new format is a class: derive from :class:`BaseFormatDetector`
(``sglang/srt/function_call/hermes.py`` is a short example) and name it in
:attr:`MultiFormatParser.formats`. No torch here: the API process imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sglang.srt.function_call.deepseek import DeepSeekV3Detector
from sglang.srt.function_call.detector import BaseFormatDetector
from sglang.srt.function_call.glm45 import Glm45Detector
from sglang.srt.function_call.gpt_oss import GptOssDetector
from sglang.srt.function_call.hermes import HermesDetector, Qwen25Detector
from sglang.srt.function_call.internlm import InternlmDetector
from sglang.srt.function_call.items import StreamingParseResult, ToolCallItem
from sglang.srt.function_call.kimi_k2 import KimiK2Detector
from sglang.srt.function_call.llama3 import Llama32Detector
from sglang.srt.function_call.mistral import MistralDetector
from sglang.srt.function_call.pythonic import PythonicDetector
from sglang.srt.function_call.qwen3_coder import Qwen3CoderDetector

if TYPE_CHECKING:
    from sglang.srt.managers.io_struct import Tool

__all__ = [
    "TOOLS_TAG_LIST",
    "BaseFormatDetector",
    "FunctionCallParser",
    "MultiFormatParser",
    "StreamingParseResult",
    "ToolCallItem",
]


class MultiFormatParser:
    """All formats by the names that ``--tool-call-parser`` takes."""

    formats: ClassVar[dict[str, type[BaseFormatDetector]]] = {
        "llama3": Llama32Detector,
        "mistral": MistralDetector,
        "deepseekv3": DeepSeekV3Detector,
        "kimi_k2": KimiK2Detector,
        "internlm": InternlmDetector,
        "gpt-oss": GptOssDetector,
        "glm45": Glm45Detector,
        "qwen3_coder": Qwen3CoderDetector,
        "pythonic": PythonicDetector,
        "qwen25": Qwen25Detector,
        "hermes": HermesDetector,
    }
    """In the order in which they are looked for in a chat template."""

    @classmethod
    def detector(cls, name: str) -> BaseFormatDetector:
        """A detector for one answer; raises ValueError for a name there is no format of."""
        if name not in cls.formats:
            known = ", ".join(cls.formats)
            raise ValueError(f"tool_call_parser must be one of {known}; got {name[:60]!r}")
        return cls.formats[name]()


def parser_for_template(source: str) -> str | None:
    """The format whose tags a chat template writes; None if it shows none that is known."""
    for name, detector in MultiFormatParser.formats.items():
        if any(mark in source for mark in detector.template_marks):
            return name
    return None


TOOLS_TAG_LIST = sorted(
    {
        start
        for detector in MultiFormatParser.formats.values()
        for start in detector.starts
        if len(start) > 1
    }
)
"""Every tag that a call may begin with."""


class FunctionCallParser:
    """Finds the calls of ``tools`` in one format."""

    def __init__(self, tools: Sequence[Tool], tool_call_parser: str) -> None:
        """``tool_call_parser`` names the format, as ``--tool-call-parser`` does.

        Raises:
            ValueError: there is no such format.
        """
        self._tools = tools
        self._detector = MultiFormatParser.detector(tool_call_parser)

    def has_tool_call(self, text: str) -> bool:
        """Whether ``text`` holds a tag that a call begins with."""
        return self._detector.has_tool_call(text)

    def parse_non_stream(self, full_text: str) -> tuple[str, list[ToolCallItem]]:
        """Text and calls of a whole answer."""
        result = self._detector.detect_and_parse(full_text, self._tools)
        return result.normal_text, result.calls

    def parse_stream_chunk(self, chunk_text: str) -> tuple[str, list[ToolCallItem]]:
        """What the next piece of an answer adds: text, and calls or pieces of calls.

        What could be the beginning of a tag is held back, so :meth:`finish` has to be called when
        the answer is over.
        """
        result = self._detector.parse_streaming_increment(chunk_text, self._tools)
        return result.normal_text, result.calls

    def finish(self) -> tuple[str, list[ToolCallItem]]:
        """What was held back when the answer ended."""
        result = self._detector.finish()
        return result.normal_text, result.calls
