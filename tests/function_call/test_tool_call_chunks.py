"""However an answer is cut into pieces, text and calls are the same."""

# ruff: noqa: RUF001 -- the tags have these characters

from __future__ import annotations

import json

import pytest
from formats import WRITERS, Calls, cut, joined, parse, stream
from hypothesis import given, settings
from hypothesis import strategies as st

LETTERS = st.text(max_size=12).filter(lambda text: "</" not in text)
PLAIN = st.text(alphabet="ab .,!\n<é{", max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=5,
)
WEATHER = st.fixed_dictionaries(
    {},
    optional={"city": LETTERS, "days": st.integers(), "details": st.dictionaries(LETTERS, VALUES)},
)
CALL = st.tuples(st.just("get_weather"), WEATHER) | st.tuples(st.just("now"), st.just({}))
CALLS = st.lists(CALL, min_size=1, max_size=3)
CUTS = st.lists(st.integers(0, 2000), max_size=30)
FRAGMENTS = (
    *("<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "<function="),
    *("<|plugin|>", "<|action_start|>", "<|action_end|>", "<parameter=city>", "</parameter>"),
    *(
        "<arg_key>city</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "</function>",
        "get_weather",
        "now",
    ),
    *("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>"),
    *("<|channel|>", "commentary to=functions.now", "<|message|>", "<|call|>", "functions.now:0"),
    *(
        '{"name": "now"',
        '{"name": "nobody"',
        '"arguments": ',
        '"parameters": ',
        '{"a": 1}',
        "{",
        "}",
    ),
    *("[", "]", "(", ")", "city=", '"', "'", "\\", ",", ";", "=", ">", "<", "\n", " ", "x", "é"),
)


@pytest.mark.parametrize("label", WRITERS)
@settings(max_examples=40, deadline=None)
@given(calls=CALLS, before=PLAIN, after=PLAIN, cuts=CUTS)
def test_calls_are_found_wherever_the_text_is_cut(
    label: str, calls: Calls, before: str, after: str, cuts: list[int]
) -> None:
    name, write = WRITERS[label]
    # A bracket at the beginning and a separator at the end mean something here.
    if name == "llama3":
        before, after = before.replace("{", ""), after.replace(",", "")
    text = before + write(calls) + after
    rest, found = parse(name, text)
    assert [(n, json.loads(arguments)) for n, arguments in found] == list(calls)
    assert "".join(rest.split()) == "".join((before + after).split())
    assert joined(stream(name, cut(text, cuts))) == (rest, found)


@pytest.mark.parametrize("name", sorted({name for name, _ in WRITERS.values()}))
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=25), cuts=CUTS)
def test_nonsense_is_read_the_same_in_pieces_and_as_a_whole(
    name: str, parts: list[str], cuts: list[int]
) -> None:
    text = "".join(parts)
    whole = parse(name, text)
    assert joined(stream(name, cut(text, cuts))) == whole
    assert joined(stream(name, list(text))) == whole


@pytest.mark.parametrize("name", sorted({name for name, _ in WRITERS.values()}))
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=12))
def test_without_a_call_the_text_is_unchanged(name: str, parts: list[str]) -> None:
    text = "".join(parts)
    rest, calls = parse(name, text)
    if not calls:
        assert rest == text
