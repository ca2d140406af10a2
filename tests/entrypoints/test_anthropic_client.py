"""The ``anthropic`` package against a server: answers, streams, tools, reasoning, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from chat_client import CALLS, HELLO, TEMPLATE, tool_server
from fake_runtime import FakeEngine, RunningServer, bytes_text, encode_text, say, serve

KEY = "a key"
HTTP = anthropic.DefaultHttpxClient(trust_env=False)
"""One for all: it takes a while to make."""
PARIS = {"city": "Paris"}
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "The weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        "cache_control": {"type": "ephemeral"},
    },
    {"name": "now", "input_schema": {"type": "object"}, "type": "custom"},
]
USER: list[Any] = [{"role": "user", "content": "Say it."}]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(say(HELLO), api_key=KEY) as running:
        yield running


def client_of(server: RunningServer, **options: Any) -> anthropic.Anthropic:
    options = {"api_key": KEY, "max_retries": 0, **options}
    return anthropic.Anthropic(base_url=server.url, http_client=HTTP, **options)


def create(server: RunningServer, **body: Any) -> Any:
    body = {"model": "m", "max_tokens": 300, "messages": USER, **body}
    return client_of(server).messages.create(**body)


def stream(server: RunningServer, **body: Any) -> tuple[Any, list[Any]]:
    """The message put together, and the events as they came."""
    body = {"model": "m", "max_tokens": 300, "messages": USER, **body}
    with client_of(server).messages.stream(**body) as events:
        raw = [event for event in events if event.type not in DERIVED]
        return events.get_final_message(), raw


DERIVED = {"text", "thinking", "signature", "input_json", "citation"}
"""Events that the client makes up itself."""


def prompt_of(server: RunningServer) -> str:
    return bytes_text(server.engine.requests[-1])


def contents(message: Any) -> list[Any]:
    """The blocks without what is different every time."""
    return [block.to_dict() for block in message.content]


def test_an_answer(server: RunningServer) -> None:
    sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    message = create(server, system="Be brief.", extra_body=sampling)
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model) == ("message", "assistant", "fake")
    assert [(block.type, block.text) for block in message.content] == [("text", HELLO)]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert prompt_of(server).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")
    used = server.engine.requests[-1].sampling
    assert {name: getattr(used, name) for name in sampling} == sampling


def test_usage_counts_cached_tokens_apart(server: RunningServer) -> None:
    usage = create(server).usage
    # The engine of these tests says that two tokens were cached.
    assert usage.input_tokens == len(server.engine.requests[-1].prompt()) - 2
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (2, 0)
    assert usage.output_tokens == len(encode_text(HELLO)) + 1


def test_a_stream_says_the_same_in_the_documented_order(server: RunningServer) -> None:
    message, events = stream(server)
    assert message.content[0].text == HELLO
    assert message.stop_reason == "end_turn"
    assert message.usage == create(server).usage
    kinds = [event.type for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_the_end_by_a_stop_sequence(server: RunningServer) -> None:
    message = create(server, stop_sequences=["xyz", "wör"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "wör")
    assert message.content[0].text == "Hello, "
    assert stream(server, stop_sequences=["xyz", "wör"])[0].stop_sequence == "wör"


def test_the_end_by_max_tokens(server: RunningServer) -> None:
    message = create(server, max_tokens=3)
    assert (message.stop_reason, message.content[0].text) == ("max_tokens", "Hel")
    assert stream(server, max_tokens=3)[0].stop_reason == "max_tokens"


def test_the_end_of_the_context() -> None:
    with serve(say("x" * 600, stop=False)) as server:
        message = create(server, max_tokens=9999)
        assert message.stop_reason == "model_context_window_exceeded"


def test_content_as_blocks_and_turns_in_pieces(server: RunningServer) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    create(
        server,
        system=[{"type": "text", "text": "One."}, {"type": "text", "text": "Two.", **mark}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
            {"role": "user", "content": "d"},
        ],
    )
    assert prompt_of(server) == (
        "<|im_start|>system\nOne.\nTwo.<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n"
        "<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_an_answer_that_is_begun_goes_on(server: RunningServer) -> None:
    create(server, messages=[*USER, {"role": "assistant", "content": "Well"}])
    assert prompt_of(server).endswith("<|im_start|>assistant\nWell")


def test_calls(tools_server: RunningServer) -> None:
    message = create(tools_server, tools=TOOLS)
    assert message.stop_reason == "tool_use"
    text, weather, now = message.content
    assert text.text == "Let me see."
    assert (weather.type, weather.name, weather.input) == ("tool_use", "get_weather", PARIS)
    assert (now.name, now.input) == ("now", {})
    assert weather.id != now.id


def test_streamed_calls_are_the_same(tools_server: RunningServer) -> None:
    message, events = stream(tools_server, tools=TOOLS)
    assert message.stop_reason == "tool_use"
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in message.content[1:]] == [PARIS, {}]
    pieces = [
        event.delta.partial_json
        for event in events
        if event.type == "content_block_delta" and event.index == 1
    ]
    assert json.loads("".join(pieces)) == PARIS and len(pieces) > 3


def test_arguments_that_are_cut_off_are_shown_as_they_are(tools_server: RunningServer) -> None:
    limit = CALLS.index("Paris") + 2
    message = create(tools_server, tools=TOOLS, max_tokens=limit)
    assert message.stop_reason == "max_tokens"
    assert message.content[1].input == {"INVALID_JSON": '{"city": "Pa'}


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "auto"}, ["get_weather", "now"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["get_weather"]),
        ({"type": "none"}, []),
    ],
)
def test_tool_choice(tools_server: RunningServer, choice: Any, names: list[str]) -> None:
    message = create(tools_server, tools=TOOLS, tool_choice=choice)
    assert [block.name for block in message.content if block.type == "tool_use"] == names


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "now"}])
def test_calls_that_are_demanded_come_with_a_grammar(
    tools_server: RunningServer, choice: Any
) -> None:
    create(tools_server, tools=TOOLS, tool_choice=choice)
    assert tools_server.engine.requests[-1].sampling.structural_tag is not None


def test_calls_and_results_in_the_history() -> None:
    template = (
        "{% for t in tools or [] %}{% endfor %}{% for m in messages %}{{ m.role }}:"
        "{{ m.reasoning_content }}|{{ m.content }}{% for c in m.tool_calls or [] %}"
        "[{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"
        "{% if m.tool_call_id %}<{{ m.tool_call_id }}>{% endif %};{% endfor %}"
    )
    answer = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "t1", "name": "now", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "noon"},
        {
            "type": "tool_result",
            "tool_use_id": "t2",
            "is_error": True,
            "content": [{"type": "text", "text": "no clock"}],
        },
        {"type": "text", "text": "So?"},
    ]
    with tool_server(say("a"), template, tool_call_parser="hermes") as server:
        create(
            server,
            tools=TOOLS,
            messages=[
                *USER,
                {"role": "assistant", "content": answer},
                {"role": "user", "content": results},
            ],
        )
        assert prompt_of(server) == (
            'user:|Say it.;assistant:hm|Wait.[t1 now {"a": 1}][t2 now {}];'
            "tool:|noon<t1>;tool:|Error: no clock<t2>;user:|So?;"
        )


def test_reasoning_is_a_block_of_its_own(thinking_server: RunningServer) -> None:
    message = create(thinking_server)
    thinking, text = message.content
    assert (thinking.type, thinking.thinking) == ("thinking", "Sie grüßt.")
    assert (text.type, text.text) == ("text", "Hallo!")
    assert thinking.signature
    assert message.usage.output_tokens_details.thinking_tokens > 10
    assert contents(stream(thinking_server)[0]) == contents(message)


def test_reasoning_that_the_client_does_not_want_to_read(thinking_server: RunningServer) -> None:
    wish = {"type": "adaptive", "display": "omitted"}
    for message in (
        create(thinking_server, thinking=wish),
        stream(thinking_server, thinking=wish)[0],
    ):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[0].thinking == ""


def test_the_budget_of_the_reasoning(thinking_server: RunningServer) -> None:
    create(thinking_server, thinking={"type": "enabled", "budget_tokens": 7})
    assert thinking_server.engine.requests[-1].reasoning.budget == 7
    create(thinking_server, thinking={"type": "disabled"})
    assert thinking_server.engine.requests[-1].reasoning.budget == 0


def test_a_template_that_knows_how_is_told_whether_to_reason() -> None:
    template = "{{ enable_thinking }}" + TEMPLATE
    with tool_server(say("a"), template, reasoning_parser="qwen3") as server:
        create(server, thinking={"type": "disabled"})
        assert prompt_of(server).startswith("False<")
        create(server, thinking={"type": "enabled", "budget_tokens": 7})
        assert prompt_of(server).startswith("True<")


def test_without_a_parser_a_budget_of_reasoning_is_not_used(server: RunningServer) -> None:
    message = create(server, thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in message.content] == ["text"]


def test_an_answer_in_the_form_of_a_schema(server: RunningServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    create(server, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(server.engine.requests[-1].sampling.json_schema) == schema


def test_sampling_parameters_beyond_anthropics(server: RunningServer) -> None:
    create(server, extra_body={"seed": 7, "min_p": 0.1})
    sampling = server.engine.requests[-1].sampling
    assert (sampling.seed, sampling.min_p) == (7, 0.1)


def test_count_tokens(server: RunningServer) -> None:
    counted = client_of(server).messages.count_tokens(model="m", messages=USER, system="Be brief.")
    create(server, system="Be brief.")
    assert counted.input_tokens == len(server.engine.requests[-1].prompt())


def test_count_tokens_counts_tools(tools_server: RunningServer) -> None:
    count = client_of(tools_server).messages.count_tokens
    plain = count(model="m", messages=USER)
    tools = count(model="m", messages=USER, tools=TOOLS)
    assert tools.input_tokens == plain.input_tokens + len("get_weather;now;")


def test_requests_as_agents_send_them(tools_server: RunningServer) -> None:
    message, _ = stream(
        tools_server,
        tools=TOOLS,
        metadata={"user_id": "user_1_session_2"},
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        cache_control={"type": "ephemeral"},
        extra_body={
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
        },
        extra_query={"beta": "true"},
        extra_headers={"anthropic-beta": "interleaved-thinking-2025-05-14"},
    )
    assert message.stop_reason == "tool_use"


def test_errors_are_those_of_the_package(server: RunningServer) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(server, extra_body={"temperature": -1})
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert "temperature" in body["error"]["message"]
    assert body["request_id"] == caught.value.request_id != ""


def test_the_id_of_a_request_is_told(server: RunningServer) -> None:
    assert create(server)._request_id


def test_either_header_brings_the_key(server: RunningServer) -> None:
    bearer = client_of(server, api_key=None, auth_token=KEY)
    bearer.messages.count_tokens(model="m", messages=USER)
    wrong = client_of(server, api_key="wrong")
    with pytest.raises(anthropic.AuthenticationError) as caught:
        wrong.messages.create(model="m", max_tokens=3, messages=USER)
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"


def test_a_wrong_model_is_not_found() -> None:
    with serve(say("a"), strict_model_name=True) as server:
        with pytest.raises(anthropic.NotFoundError):
            create(server)
        assert create(server, model="fake").content[0].text == "a"


def test_what_the_engine_refuses_late_names_the_field_of_the_client() -> None:
    from sglang.srt.managers.io_struct import FinishReason

    with serve(say("a")) as server:
        prompt = "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n"
        server.engine.failures[prompt] = FinishReason(
            "abort", message="json_schema: too large", status=400
        )
        for ask in (create, stream):
            with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format: too"):
                ask(server, output_config={"format": {"type": "json_schema", "schema": {}}})
        server.assert_idle()


def test_an_answer_that_is_long_in_coming_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.anthropic.routes.PING_SECONDS", 0.05)
    with serve(say("a")) as server:
        server.engine.paused = True
        events = create(server, stream=True)
        assert next(events).type == "message_start"
        server.on_loop(server.engine.resume)
        assert [event.type for event in events][-1] == "message_stop"
        server.assert_idle()


def test_an_aborted_answer_is_an_error() -> None:
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    with serve(say("a")) as server, ThreadPoolExecutor() as pool:
        engine: FakeEngine = server.engine
        engine.paused = True
        waiting = pool.submit(create, server)
        server.wait_until(lambda: bool(engine.requests))
        httpx.post(f"{server.url}/abort_request", json={"rid": engine.requests[0].rid})
        with pytest.raises(anthropic.APIStatusError, match="aborted"):
            waiting.result()


def test_a_client_that_leaves_frees_the_engine() -> None:
    with serve(say("x" * 300), step_seconds=0.01) as server:
        with create(server, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta":
                    break
        server.assert_idle()
