"""The names that the documentation promises, and how a format is added."""

from __future__ import annotations

import pytest
from formats import TOOLS

from sglang.srt.function_call.reader import Steps
from sglang.srt.function_call_parser import (
    TOOLS_TAG_LIST,
    BaseFormatDetector,
    FunctionCallParser,
    MultiFormatParser,
    parser_for_template,
)
from sglang.srt.server_args.choices import REASONING_PARSERS, TOOL_CALL_PARSERS


def test_the_option_has_the_formats() -> None:
    assert set(TOOL_CALL_PARSERS) == set(MultiFormatParser.formats)


def test_the_reasoning_option_has_the_formats() -> None:
    from sglang.srt.reasoning_parser import FORMATS

    assert set(REASONING_PARSERS) == set(FORMATS)


def test_documented_tags_are_known() -> None:
    documented = {"<|plugin|>", "<function=", "<tool_call>", "<|python_tag|>", "[TOOL_CALLS]"}
    assert documented <= set(TOOLS_TAG_LIST)


def test_an_unknown_parser_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"llama3.*got 'nonsense'"):
        FunctionCallParser(TOOLS, "nonsense")


def test_has_tool_call() -> None:
    parser = FunctionCallParser(TOOLS, "qwen25")
    assert parser.has_tool_call("a <tool_call>")
    assert not parser.has_tool_call("a")
    assert FunctionCallParser(TOOLS, "llama3").has_tool_call(' {"name": "now"}')


class BangDetector(BaseFormatDetector):
    """``!NAME!`` calls a function without arguments."""

    starts = ("!",)

    def read_calls(self, start: str) -> Steps[None]:
        name = yield from self.reader.word()
        if self.schema(name.rstrip("!")) is not None and name.endswith("!"):
            self.begin_call(name.rstrip("!"))
            self.arguments("{}")
            self.end_call()


def test_a_format_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MultiFormatParser.formats, "bang", BangDetector)
    text, calls = FunctionCallParser(TOOLS, "bang").parse_non_stream("Hi! It is !now! here.")
    assert text == "Hi! It is  here."
    assert [call.name for call in calls] == ["now"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ '<tool_call>' }}", "qwen25"),
        ("{{ '<tool_call><function=f><parameter=x>' }}", "qwen3_coder"),
        ("{{ '<tool_call>f<arg_key>' }}", "glm45"),
        ("{{ '[TOOL_CALLS]' }}", "mistral"),
        ("{{ '<|python_tag|>' }} {{ '<tool_call>' }} {{ '[TOOL_CALLS]' }}", "llama3"),
        ("{{ messages }}", None),
    ],
)
def test_a_template_tells_its_format(source: str, name: str | None) -> None:
    assert parser_for_template(source) == name
