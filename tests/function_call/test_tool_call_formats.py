"""What each format reads as text and what as calls."""

# ruff: noqa: RUF001 -- the tags have these characters

from __future__ import annotations

import json

import pytest
from formats import TOOLS, WRITERS, Found, parse, stream

from sglang.srt.function_call_parser import FunctionCallParser, ToolCallItem

PARIS = '{"city": "Paris"}'
WEATHER = [("get_weather", PARIS)]
NOW = [("now", "{}")]

CASES: list[tuple[str, str, str, Found]] = [
    # Llama 3
    ("llama3", f'<|python_tag|>{{"name": "get_weather", "parameters": {PARIS}}}', "", WEATHER),
    ("llama3", f'{{"name": "get_weather", "parameters": {PARIS}}}', "", WEATHER),
    ("llama3", f'{{"type": "x", "name": "get_weather", "parameters": {PARIS}}}', "", WEATHER),
    ("llama3", '\n{"parameters": {}, "name": "now"};\n', "", NOW),
    ("llama3", '{"name": "now", "parameters": {}}; {"name": "now"}', "", NOW * 2),
    ("llama3", '{"name": "nobody", "parameters": {}}; {"name": "now"}',
     '{"name": "nobody", "parameters": {}}', NOW),
    ("llama3", f"Now: <function=get_weather>{PARIS}</function>", "Now:", WEATHER),
    ("llama3", '{"answer": 42, "name": "now"}\n', '{"answer": 42, "name": "now"}\n', []),
    ("llama3", '<|python_tag|>print("hi")', '<|python_tag|>print("hi")', []),
    ("llama3", 'So {"name": "now", "parameters": {}}', 'So {"name": "now", "parameters": {}}', []),
    # Hermes and Qwen
    ("qwen25", f'<tool_call>\n{{"name": "get_weather", "arguments": {PARIS}}}\n</tool_call>', "",
     WEATHER),
    ("hermes", 'A.\n<tool_call>{"name": "now"}</tool_call>\nB.\n', "A.\n\nB.\n", NOW),
    ("hermes", '<tool_call>{"name": "now", "arguments": null}</tool_call>', "", NOW),
    ("hermes", '<tool_call>{"name": "now", "arguments": "{}"}</tool_call>', "", NOW),
    ("hermes", '<tool_call>{"name": "now", "arguments": {}}', "", NOW),
    ("hermes", '<tool_call>{"name": "now", "arguments": {}</tool_call>', "", NOW),
    ("hermes", '<tool_call>{"name": "now", "arguments": {}}</tool_', "", NOW),
    # Mistral
    ("mistral", f'[TOOL_CALLS] [{{"name": "get_weather", "arguments": {PARIS}}}]', "", WEATHER),
    ("mistral", f'[TOOL_CALLS]{{"name": "get_weather", "arguments": {PARIS}}}', "", WEATHER),
    ("mistral", '[TOOL_CALLS] [{"name": "now"}, {"name": "nobody"}, {"name": "now"}] So.',
     ', {"name": "nobody"} So.', NOW * 2),
    ("mistral", f"Hi[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{PARIS}", "Hi", WEATHER),
    ("mistral", "[TOOL_CALLS] []", "[TOOL_CALLS] []", []),
    # Others
    ("internlm", 'A<|plugin|>{"name": "now", "parameters": {}}<|action_end|>', "A", NOW),
    ("internlm", "<|action_start|><|interpreter|>x", "<|action_start|><|interpreter|>x", []),
    ("kimi_k2", "<|tool_call_begin|>now:3<|tool_call_argument_begin|>{}<|tool_call_end|>", "", NOW),
    ("gpt-oss", "<|start|>assistant to=functions.now<|channel|>commentary<|message|>{}", "", NOW),
    ("gpt-oss", "<|channel|>final<|message|>Hi", "<|channel|>final<|message|>Hi", []),
    ("deepseekv3", "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜>", "", NOW),
    ("qwen3_coder", "<function=now>\n</function>", "", NOW),
    ("glm45", "<tool_call>now</tool_call>", "", NOW),
    ("pythonic", "<|python_start|>[now()]<|python_end|>", "", NOW),
    ("pythonic", 'See [1] and [now](http://x) [get_weather(1)].',
     'See [1] and [now](http://x) [get_weather(1)].', []),
    ("pythonic", "[now(), nobody(a=[1, ')']), now()] Done.", ", nobody(a=[1, ')']) Done.", NOW * 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "rest", "calls"), CASES)
def test_text_and_calls(name: str, text: str, rest: str, calls: Found) -> None:
    assert parse(name, text) == (rest, calls)


@pytest.mark.parametrize("label", WRITERS)
def test_a_function_nobody_offered_is_text(label: str) -> None:
    name, write = WRITERS[label]
    text = write([("nobody", {"city": "Paris"})])
    assert parse(name, text) == (text, [])


@pytest.mark.parametrize("label", WRITERS)
def test_text_goes_on_where_white_space_separates_it_from_calls(label: str) -> None:
    name, write = WRITERS[label]
    rest, calls = parse(name, f"Let me see.\n\n{write([('now', {})])}\n")
    assert (rest, calls) == ("Let me see.", NOW)


@pytest.mark.parametrize("label", WRITERS)
def test_the_name_comes_first_then_the_arguments_piece_by_piece(label: str) -> None:
    name, write = WRITERS[label]
    steps = stream(name, list(write([("get_weather", {"city": "San Francisco", "days": 3})])))
    items = [item for _, calls in steps for item in calls]
    assert [item.name for item in items] == ["get_weather"] + [None] * (len(items) - 1)
    assert len(items) > 3
    assert json.loads("".join(i.parameters for i in items)) == {"city": "San Francisco", "days": 3}


@pytest.mark.parametrize("label", WRITERS)
def test_arguments_that_break_off_do_not_pass_for_complete(label: str) -> None:
    name, write = WRITERS[label]
    text = write([("get_weather", {"city": "San Francisco", "days": 3})])
    end = text.index("Francisco")
    rest, [(function, arguments)] = parse(name, text[:end])
    assert (rest, function) == ("", "get_weather")
    assert "San " in arguments
    with pytest.raises(ValueError, match=r"Unterminated|delimiter|Expecting"):
        json.loads(arguments)


def test_broken_arguments_are_passed_on_up_to_the_end_of_the_call() -> None:
    text = '<tool_call>{"name": "now", "arguments": {\'a\': 1}}</tool_call> So.'
    assert parse("hermes", text) == (text, [])
    text = '<tool_call>{"name": "now", "arguments": {"a": \'b\'}}</tool_call> So.'
    assert parse("hermes", text) == ("So.", [("now", "{\"a\": 'b'}}")])


def test_line_breaks_in_strings_are_escaped() -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": "a\nb\tc"}}</tool_call>'
    _, [(_, arguments)] = parse("hermes", text)
    assert json.loads(arguments) == {"city": "a\nb\tc"}


def test_half_a_surrogate_pair_gets_nowhere() -> None:
    text = '<tool_call>{"name": "now", "arguments": "\\ud800"}</tool_call>'
    assert parse("hermes", text) == (text, [])


@pytest.mark.parametrize("name", ["glm45", "qwen3_coder"])
def test_the_schema_says_what_a_value_is(name: str) -> None:
    from formats import glm45, qwen3_coder

    write = {"glm45": glm45, "qwen3_coder": qwen3_coder}[name]
    text = write([("get_weather", {"city": "15", "days": "15", "details": "{'a': True}"})])
    _, [(_, arguments)] = parse(name, text)
    assert json.loads(arguments) == {"city": "15", "days": 15, "details": {"a": True}}
    _, [(_, arguments)] = parse(name, write([("get_weather", {"days": "many"})]))
    assert json.loads(arguments) == {"days": "many"}


def test_a_value_keeps_its_own_line_breaks() -> None:
    text = "<function=get_weather><parameter=city>\n\na\n\n</parameter></function>"
    assert parse("qwen3_coder", text) == ("", [("get_weather", '{"city": "\\na\\n"}')])


def test_ids_are_those_of_the_format() -> None:
    def ids(name: str, text: str) -> list[str | None]:
        return [c.id for c in FunctionCallParser(TOOLS, name).parse_non_stream(text)[1]]

    [first] = ids("hermes", '<tool_call>{"name": "now"}</tool_call>')
    assert first is not None and first.startswith("call_") and len(first) == 29
    [nine] = ids("mistral", '[TOOL_CALLS] [{"name": "now"}]')
    assert nine is not None and len(nine) == 9 and nine.isalnum()
    assert ids("mistral", "[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}") == ["123456789"]
    kimi = "<|tool_call_begin|>functions.now:7<|tool_call_argument_begin|>{}"
    assert ids("kimi_k2", kimi) == ["functions.now:7"]
    assert ids("kimi_k2", f"{kimi}<|tool_call_end|>{kimi}") == [
        "functions.now:7",
        "functions.now:1",
    ]


def test_depth_costs_nothing() -> None:
    deep = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"
    text = f'<tool_call>{{"name": "now", "arguments": {deep}}}</tool_call>'
    assert parse("hermes", text) == ("", [("now", deep)])
    text = f"[now(a={'[' * 100_000})]"
    rest, [(_, arguments)] = parse("pythonic", text)
    assert rest == "" and len(arguments) > 100_000


def test_the_documented_use() -> None:
    parser = FunctionCallParser(tools=TOOLS, tool_call_parser="llama3")
    normal_text, calls = parser.parse_non_stream('{"name": "now", "parameters": {}}')
    assert normal_text == ""
    assert isinstance(calls[0], ToolCallItem)
    assert (calls[0].name, calls[0].parameters, calls[0].tool_index) == ("now", "{}", 0)
