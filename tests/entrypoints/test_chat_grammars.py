"""Which grammar the engine gets for a chat request: tool choice, response formats, reasoning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_client import NOW, TEMPLATE, USER, WEATHER, chat, stream, tool_server
from fake_runtime import RunningServer, encode_text, say, serve

from sglang.srt.managers.io_struct import FinishReason

PARIS = '{"city": "Paris"}'
CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {PARIS}}}\n</tool_call>'
TOOLS = [WEATHER, NOW]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with tool_server(say(CALL), tool_call_parser="qwen25") as running:
        yield running


def grammar_of(server: RunningServer) -> dict[str, Any] | None:
    text = server.engine.requests[-1].sampling.structural_tag
    return None if text is None else json.loads(text)


def test_nothing_is_demanded_by_itself(server: RunningServer) -> None:
    chat(server, tools=TOOLS)
    assert grammar_of(server) is None


def test_a_required_call(server: RunningServer) -> None:
    [choice] = chat(server, tools=TOOLS, tool_choice="required")["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert grammar_of(server) == {
        "type": "structural_tag",
        "triggers": ["<tool_call>"],
        "structures": [
            {
                "begin": '<tool_call>\n{"name": "get_weather", "arguments": ',
                "schema": WEATHER["function"]["parameters"],
                "end": "}\n</tool_call>",
            },
            {
                "begin": '<tool_call>\n{"name": "now", "arguments": ',
                "schema": {"type": "object", "properties": {}},
                "end": "}\n</tool_call>",
            },
        ],
        "at_least_one": True,
        "stop_after_first": False,
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_a_named_function_is_the_only_one(server: RunningServer, streamed: bool) -> None:
    if streamed:
        assert stream(server, tools=TOOLS, tool_choice=NAMED).finish_reason == "tool_calls"
    else:
        chat(server, tools=TOOLS, tool_choice=NAMED)
    grammar = grammar_of(server)
    assert grammar is not None
    assert len(grammar["structures"]) == 1
    assert (grammar["at_least_one"], grammar["stop_after_first"]) == (True, True)


def test_one_required_call_at_most(server: RunningServer) -> None:
    chat(server, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
    grammar = grammar_of(server)
    assert grammar is not None and grammar["stop_after_first"]


def test_strict_functions_are_called_as_declared_if_they_are(server: RunningServer) -> None:
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    chat(server, tools=[strict, NOW])
    grammar = grammar_of(server)
    assert grammar is not None and not grammar["at_least_one"]
    assert [part["schema"] for part in grammar["structures"]] == [
        WEATHER["function"]["parameters"],
        {"type": "object"},
    ]


@pytest.mark.parametrize("parser", ["glm45", "qwen3_coder", "pythonic"])
def test_formats_without_json_write_demanded_calls_as_json(parser: str) -> None:
    with tool_server(say(CALL), tool_call_parser=parser) as server:
        message = chat(server, tools=TOOLS, tool_choice="required")["choices"][0]["message"]
        assert message["tool_calls"][0]["function"]["arguments"] == PARIS
        grammar = grammar_of(server)
        assert grammar is not None and grammar["triggers"] == ["<tool_call>"]


def test_a_call_can_be_demanded_of_a_model_whose_format_is_unknown() -> None:
    with tool_server(say(CALL)) as server:
        message = chat(server, tools=TOOLS, tool_choice="required")["choices"][0]["message"]
        assert len(message["tool_calls"]) == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": {"type": "json_object"}, "tools": TOOLS}, "response_format"),
        ({"regex": "a", "tools": TOOLS, "tool_choice": "required"}, "regex"),
        ({"response_format": {"type": "json_object"}, "regex": "a"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_two_demands_are_one_too_many(
    server: RunningServer, body: dict[str, Any], param: str
) -> None:
    response = httpx.post(f"{server.url}/v1/chat/completions", json={"messages": USER, **body})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_response_formats_arrive(server: RunningServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    chat(server, response_format=form)
    assert json.loads(server.engine.requests[-1].sampling.json_schema or "") == schema
    chat(server, tools=TOOLS, tool_choice="none", response_format={"type": "json_object"})
    assert json.loads(server.engine.requests[-1].sampling.json_schema or "") == {"type": "object"}
    chat(server, regex="a+")
    assert server.engine.requests[-1].sampling.regex == "a+"


def test_a_completion_takes_response_formats_too() -> None:
    with serve(say("a")) as server:
        body = {"prompt": "a", "response_format": {"type": "json_object"}}
        assert httpx.post(f"{server.url}/v1/completions", json=body).status_code == 200
        assert server.engine.requests[-1].sampling.json_schema is not None


def test_grammars_wait_for_the_end_of_the_reasoning() -> None:
    with tool_server(
        say("a</think>{}"), TEMPLATE + "<think>\n", reasoning_parser="qwen3"
    ) as server:
        chat(server, response_format={"type": "json_object"})
        span = server.engine.requests[-1].reasoning
        assert span is not None
        assert (span.inside, span.start, span.budget) == (True, None, None)
        assert span.end == span.close == encode_text("</think>")
        chat(server)
        assert server.engine.requests[-1].reasoning is None


def test_a_budget_for_reasoning() -> None:
    with tool_server(say("a"), reasoning_parser="gpt-oss") as server:
        chat(server, thinking_budget=7)
        span = server.engine.requests[-1].reasoning
    assert span is not None
    assert (span.inside, span.budget) == (True, 7)
    assert span.end == encode_text("<|start|>assistant<|channel|>final<|message|>")
    assert span.close == encode_text("<|end|>") + span.end


def test_what_the_engine_says_about_a_grammar_names_the_field() -> None:
    prompt = "get_weather;now;<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n"
    with tool_server(say("a"), tool_call_parser="hermes") as server:
        server.engine.failures[prompt] = FinishReason("abort", None, "structural_tag: bad", 400)
        body = {"messages": USER, "tools": TOOLS, "tool_choice": "required"}
        for streamed in (False, True):
            url = f"{server.url}/v1/chat/completions"
            response = httpx.post(url, json={**body, "stream": streamed})
            error = response.json()["error"]
            assert response.status_code == 400
            assert (error["message"], error["param"]) == ("tools: bad", "tools")
