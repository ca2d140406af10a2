"""Reasoning and answer told apart, however the text is cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from formats import cut
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.reasoning_parser import FORMATS, ReasoningParser, starts_inside

SIMPLE = sorted(set(FORMATS) - {"gpt-oss"})
FRAGMENTS = (
    *("<think>", "</think>", "◁think▷", "◁/think▷", "[THINK]", "[/THINK]", "<seed:think>"),
    *("</seed:think>", "<|tool_calls_section_begin|>", "<|channel|>", "analysis", "final"),
    *("commentary to=functions.f", "<|message|>", "<|end|>", "<|start|>assistant", "<|return|>"),
    *("\n", " ", "a", "<", "é"),
)


def stream(name: str, pieces: Sequence[str], **options: bool) -> tuple[str, str]:
    parser = ReasoningParser(name, **options)
    steps = [*(parser.parse_stream_chunk(piece) for piece in pieces), parser.finish()]
    return "".join(step[0] for step in steps), "".join(step[1] for step in steps)


@pytest.mark.parametrize("name", SIMPLE)
def test_reasoning_and_answer(name: str) -> None:
    tags = FORMATS[name]
    text = f"{tags.start}\nI think.\n{tags.end}\n\nHello.\n"
    assert ReasoningParser(name).parse_non_stream(text) == ("I think.", "Hello.\n")


@pytest.mark.parametrize("name", SIMPLE)
def test_an_answer_without_tags(name: str) -> None:
    expected = ("Hello.", "") if FORMATS[name].starts_inside else ("", " Hello.\n")
    assert ReasoningParser(name).parse_non_stream(" Hello.\n") == expected


@pytest.mark.parametrize("name", SIMPLE)
def test_reasoning_that_began_in_the_prompt(name: str) -> None:
    parser = ReasoningParser(name, force_reasoning=True)
    assert parser.parse_non_stream(f"So{FORMATS[name].end}Yes") == ("So", "Yes")
    parser = ReasoningParser(name, force_reasoning=False)
    assert parser.parse_non_stream("Yes") == ("", "Yes")


def test_tags_further_on_are_text() -> None:
    text = "It is <think>a tag</think>."
    assert ReasoningParser("qwen3").parse_non_stream(text) == ("", text)
    text = "<think>a</think>b</think><think>c"
    assert ReasoningParser("qwen3").parse_non_stream(text) == ("a", "b</think><think>c")


def test_kimis_tool_calls_end_the_reasoning() -> None:
    text = "<think>So<|tool_calls_section_begin|>x"
    expected = ("So", "<|tool_calls_section_begin|>x")
    assert ReasoningParser("kimi_k2").parse_non_stream(text) == expected


def test_harmony_channels() -> None:
    text = (
        "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>Wait.<|end|><|start|>assistant<|channel|>analysis<|message|>Two.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Done.<|return|>"
    )
    assert ReasoningParser("gpt-oss").parse_non_stream(text) == ("One.\nTwo.", "Wait.\nDone.")


def test_where_the_reasoning_ends() -> None:
    parser = ReasoningParser("qwen3")
    parser.parse_non_stream("<think>a</think>b")
    assert parser.reasoning_chars == len("<think>a</think>")


@pytest.mark.parametrize("name", sorted(FORMATS))
@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.sampled_from(FRAGMENTS), max_size=15),
    cuts=st.lists(st.integers(0, 300), max_size=20),
    keep_tags=st.booleans(),
    streams=st.booleans(),
)
def test_pieces_say_the_same_as_the_whole(
    name: str, parts: list[str], cuts: list[int], keep_tags: bool, streams: bool
) -> None:
    text = "".join(parts)
    whole = ReasoningParser(name, keep_tags=keep_tags).parse_non_stream(text)
    pieces = cut(text, cuts)
    assert stream(name, pieces, keep_tags=keep_tags, stream_reasoning=streams) == whole


@pytest.mark.parametrize("name", SIMPLE)
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=15))
def test_tags_that_are_kept_lose_nothing(name: str, parts: list[str]) -> None:
    text = "".join(parts)
    assert "".join(ReasoningParser(name, keep_tags=True).parse_non_stream(text)) == text


def test_reasoning_in_one_piece() -> None:
    parser = ReasoningParser("qwen3", stream_reasoning=False)
    steps = [parser.parse_stream_chunk(char) for char in "<think>ab</think>cd"]
    assert [step for step in steps if step != ("", "")] == [("ab", "c"), ("", "d")]


@pytest.mark.parametrize(
    ("name", "prompt", "begun", "inside"),
    [
        ("qwen3", "<|im_start|>assistant\n", None, False),
        ("qwen3", "<|im_start|>assistant\n<think>\n", None, True),
        ("deepseek-r1", "<|Assistant|>", None, True),
        ("deepseek-r1", "<|Assistant|><think>\n\n</think>\n\n", None, False),
        ("qwen3", "x", "<think>\nI", True),
        ("qwen3", "x", "<think>I</think> am", False),
        ("deepseek-r1", "x", "I am", True),
    ],
)
def test_the_prompt_tells_whether_reasoning_has_begun(
    name: str, prompt: str, begun: str | None, inside: bool
) -> None:
    assert starts_inside(FORMATS[name], prompt, begun) is inside


def test_an_unknown_parser_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"deepseek-r1.*got 'nonsense'"):
        ReasoningParser("nonsense")
