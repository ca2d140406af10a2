"""Tool calls in ``/v1/chat/completions``: shapes, streams, options, history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_client import NOW, TEMPLATE, USER, WEATHER, chat, stream, tool_server
from fake_runtime import RunningServer, bytes_text, say

PARIS = '{"city": "Paris"}'
TWO_CALLS = (
    "Let me see.\n"
    f'<tool_call>\n{{"name": "get_weather", "arguments": {PARIS}}}\n</tool_call>\n'
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
)
TOOLS = [WEATHER, NOW]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with tool_server(say(TWO_CALLS), tool_call_parser="qwen25") as running:
        yield running


def prompt_of(server: RunningServer) -> str:
    return bytes_text(server.engine.requests[-1])


def test_the_shape_of_an_answer(server: RunningServer) -> None:
    [choice] = chat(server, tools=TOOLS)["choices"]
    ids = [call.pop("id") for call in choice["message"]["tool_calls"]]
    assert len(set(ids)) == 2 and all(call_id.startswith("call_") for call_id in ids)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": PARIS}},
            {"type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    }


def test_content_is_null_beside_calls_alone() -> None:
    text = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    with tool_server(say(text), tool_call_parser="hermes") as server:
        assert chat(server, tools=TOOLS)["choices"][0]["message"]["content"] is None


def test_a_stream_says_the_same(server: RunningServer) -> None:
    merged = stream(server, tools=TOOLS)
    assert (merged.content, merged.finish_reason) == ("Let me see.", "tool_calls")
    assert [(call["name"], call["arguments"]) for call in merged.calls] == [
        ("get_weather", PARIS),
        ("now", "{}"),
    ]


def test_a_stream_brings_the_name_first_and_the_arguments_as_they_come(
    server: RunningServer,
) -> None:
    deltas = [d["tool_calls"] for d in stream(server, tools=TOOLS).deltas if "tool_calls" in d]
    assert all(len(calls) == 1 for calls in deltas)
    first = [calls[0] for calls in deltas if calls[0]["index"] == 0]
    assert first[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert len(first) > len(PARIS) // 2


def test_the_tools_are_in_the_prompt(server: RunningServer) -> None:
    chat(server, tools=TOOLS)
    assert prompt_of(server).startswith("get_weather;now;<|im_start|>user")


def test_the_template_sees_no_nulls_and_always_parameters() -> None:
    template = "{{ tools | tojson }}" + TEMPLATE
    function = {"name": "now", "description": None, "parameters": None, "strict": False}
    with tool_server(say("a"), template, tool_call_parser="hermes") as server:
        chat(server, tools=[{"type": "function", "function": function}])
        shown = json.loads(prompt_of(server).partition("now;")[0])
    parameters = {"type": "object", "properties": {}}
    assert shown == [{"type": "function", "function": {"name": "now", "parameters": parameters}}]


def test_tool_choice_none_hides_the_tools_and_leaves_the_text(server: RunningServer) -> None:
    [choice] = chat(server, tools=TOOLS, tool_choice="none")["choices"]
    assert choice["message"]["content"] == TWO_CALLS
    assert choice["finish_reason"] == "stop"
    assert prompt_of(server).startswith("<|im_start|>user")


def test_without_tools_the_text_is_left_alone(server: RunningServer) -> None:
    assert chat(server)["choices"][0]["message"]["content"] == TWO_CALLS
    assert stream(server).content == TWO_CALLS


def test_one_call_at_most_without_parallel_calls(server: RunningServer) -> None:
    message = chat(server, tools=TOOLS, parallel_tool_calls=False)["choices"][0]["message"]
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["get_weather"]
    assert len(stream(server, tools=TOOLS, parallel_tool_calls=False).calls) == 1


def test_a_function_that_was_not_offered_is_text(server: RunningServer) -> None:
    [choice] = chat(server, tools=[NOW])["choices"]
    assert choice["message"]["content"] == TWO_CALLS.partition('\n<tool_call>\n{"name": "now')[0]
    assert [c["function"]["name"] for c in choice["message"]["tool_calls"]] == ["now"]


def test_a_call_that_is_cut_off_says_so(server: RunningServer) -> None:
    limit = TWO_CALLS.index("Paris") + 2
    [choice] = chat(server, tools=TOOLS, max_tokens=limit)["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Pa'
    assert stream(server, tools=TOOLS, max_tokens=limit).finish_reason == "length"


def test_several_answers_are_read_apart(server: RunningServer) -> None:
    choices = chat(server, tools=TOOLS, n=2)["choices"]
    assert [len(choice["message"]["tool_calls"]) for choice in choices] == [2, 2]
    assert len(stream(server, 1, tools=TOOLS, n=2).calls) == 2


def test_logprobs_are_those_of_all_tokens(server: RunningServer) -> None:
    merged_tokens = 0
    url = f"{server.url}/v1/chat/completions"
    body = {"messages": USER, "tools": TOOLS, "logprobs": True}
    whole = httpx.post(url, json=body).json()["choices"][0]["logprobs"]["content"]
    with httpx.stream("POST", url, json={**body, "stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                [choice] = json.loads(line[6:])["choices"]
                merged_tokens += len((choice["logprobs"] or {"content": []})["content"])
    assert merged_tokens == len(whole) == len(TWO_CALLS) + 1


def test_a_tag_that_is_a_special_token_is_seen() -> None:
    text = f'<|python_tag|>{{"name": "get_weather", "parameters": {PARIS}}}'
    with tool_server(say(text), tool_call_parser="llama3") as server:
        [choice] = chat(server, tools=TOOLS)["choices"]
        assert choice["message"]["tool_calls"][0]["function"]["arguments"] == PARIS
        assert stream(server, tools=TOOLS).calls[0]["name"] == "get_weather"
        # Without tools it is hidden as ever.
        assert "python_tag" not in chat(server)["choices"][0]["message"]["content"]


def test_the_template_tells_the_format() -> None:
    template = TEMPLATE + "{# <|python_tag|> #}"
    text = '{"name": "now", "parameters": {}}'
    with tool_server(say(text), template) as server:
        assert chat(server, tools=TOOLS)["choices"][0]["finish_reason"] == "tool_calls"


def test_the_template_is_told_the_format() -> None:
    with tool_server(
        say("a"), "{{ tool_call_parser }}" + TEMPLATE, tool_call_parser="mistral"
    ) as s:
        chat(s, tools=TOOLS)
        assert prompt_of(s).startswith("mistral")


def test_without_a_format_tools_are_refused() -> None:
    with tool_server(say("a")) as server:
        response = httpx.post(
            f"{server.url}/v1/chat/completions", json={"messages": USER, "tools": TOOLS}
        )
    assert response.status_code == 400
    assert "--tool-call-parser" in response.json()["error"]["message"]


HISTORY_TEMPLATE = (
    "{% for tool in tools or [] %}{% endfor %}"
    "{% for m in messages %}{{ m.role }}:{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.id }} {{ c.function.name }} "
    "{{ c.function.arguments | tojson }}]{% endfor %}"
    "{% if m.tool_call_id %}<{{ m.tool_call_id }}>{% endif %};{% endfor %}"
)


@pytest.fixture(scope="module")
def history_server() -> Iterator[RunningServer]:
    with tool_server(say("a"), HISTORY_TEMPLATE, tool_call_parser="hermes") as running:
        yield running


def test_results_in_the_form_of_openai(history_server: RunningServer) -> None:
    call = {"id": "x1", "type": "function", "function": {"name": "now", "arguments": '{"a": 1}'}}
    messages: list[dict[str, Any]] = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "content": "noon", "tool_call_id": "x1"},
    ]
    chat(history_server, messages=messages, tools=TOOLS)
    assert prompt_of(history_server) == ('user:Say it.;assistant:[x1 now {"a": 1}];tool:noon<x1>;')


def test_results_in_the_form_of_the_documentation(history_server: RunningServer) -> None:
    messages: list[dict[str, Any]] = [
        *USER,
        {"role": "user", "content": "", "tool_calls": {"name": "now", "arguments": '{"a": 1}'}},
        {"role": "tool", "content": "noon", "name": "now"},
    ]
    chat(history_server, messages=messages, tools=TOOLS)
    assert prompt_of(history_server) == (
        'user:Say it.;assistant:[call00000 now {"a": 1}];tool:noon<call00000>;'
    )


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **function}}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"tools": "f"}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [None]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [NOW, {"type": "magic", "function": {"name": "f"}}]}, "tools[1].type"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{**NOW, "typo": 1}]}, "tools[0].typo"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tools": [tool(name=5)]}, "tools[0].function.name"),
    ({"tools": [tool(name="")]}, "tools[0].function.name"),
    ({"tools": [tool(name="a b")]}, "tools[0].function.name"),
    ({"tools": [tool(name="a\n")]}, "tools[0].function.name"),
    ({"tools": [tool(name="x" * 65)]}, "tools[0].function.name"),
    ({"tools": [tool(), tool()]}, "tools[1].function.name"),
    ({"tools": [tool(description=5)]}, "tools[0].function.description"),
    ({"tools": [tool(strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [tool(paramters={})]}, "tools[0].function.paramters"),
    ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"type": "array"})]}, "tools[0].function.parameters.type"),
    (
        {"tools": [tool(parameters={"properties": {"a": {"type": "strnig"}}})]},
        "tools[0].function.parameters.properties.a.type",
    ),
    ({"tools": [tool(name=f"f{i}") for i in range(129)]}, "tools"),
    ({"tool_choice": "required"}, "tools"),
    ({"tools": [NOW], "tool_choice": "sometimes"}, "tool_choice"),
    ({"tools": [NOW], "tool_choice": 5}, "tool_choice"),
    ({"tools": [NOW], "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    (
        {"tools": [NOW], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function.name",
    ),
    ({"tools": [NOW], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
]


@pytest.mark.parametrize(("body", "param"), BAD)
def test_bad_tools_are_refused_with_their_place(
    server: RunningServer, body: dict[str, Any], param: str
) -> None:
    response = httpx.post(f"{server.url}/v1/chat/completions", json={"messages": USER, **body})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert param in error["message"] and error["type"] == "invalid_request_error"


def test_a_tool_cannot_reach_out_of_the_template(server: RunningServer) -> None:
    evil = tool(description="{{ ''.__class__.__mro__ }}{% raw %}", parameters=None)
    chat(server, tools=[evil])
    assert prompt_of(server).startswith("f;<|im_start|>user")
