"""The ``anthropic`` package and the Responses API against a server with the demo model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.servers import Server, start_server, stop_server

PARIS = "The capital of France is Paris."
QUESTION: Any = {"role": "user", "content": "What is the capital of France?"}
WEATHER: Any = {"role": "user", "content": "What's the weather like in Paris?"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city", "unit"],
}
NAME = "get_current_weather"
GREEDY = {"temperature": 0}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_server(tmp_path_factory.mktemp("server") / "server.log", "--api-key", "key")
    yield server
    stop_server(server)


@pytest.fixture(scope="module")
def messages(server: Server) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=server.url, api_key="key") as client:
        yield client.messages


@pytest.fixture(scope="module")
def responses(server: Server) -> Iterator[Any]:
    with openai.Client(base_url=f"{server.url}/v1", api_key="key") as client:
        yield client.responses


def test_a_message_whole_and_streamed(messages: Any) -> None:
    request = {"model": "demo", "max_tokens": 64, "messages": [QUESTION], "extra_body": GREEDY}
    message = messages.create(**request)
    assert (message.content[0].text, message.stop_reason) == (PARIS, "end_turn")
    with messages.stream(**request) as stream:
        assert "".join(stream.text_stream) == PARIS
    usage = stream.get_final_message().usage
    # The prompt had been read before, and is taken from the cache now.
    assert usage.cache_read_input_tokens > message.usage.cache_read_input_tokens
    assert usage.output_tokens == message.usage.output_tokens


def test_count_tokens_is_what_a_message_reads(messages: Any) -> None:
    counted = messages.count_tokens(model="demo", messages=[QUESTION]).input_tokens
    usage = messages.create(model="demo", max_tokens=1, messages=[QUESTION]).usage
    assert counted == usage.input_tokens + usage.cache_read_input_tokens


def test_a_loop_with_a_tool(messages: Any) -> None:
    tools = [{"name": NAME, "description": "The weather", "input_schema": SCHEMA}]
    request = {"model": "demo", "max_tokens": 200, "tools": tools, "extra_body": GREEDY}
    message = messages.create(messages=[WEATHER], tool_choice={"type": "any"}, **request)
    assert message.stop_reason == "tool_use"
    [call] = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input["city"]) == (NAME, "Paris")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "It is sunny."}
    history = [
        WEATHER,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    final = messages.create(messages=history, **request)
    assert final.stop_reason == "end_turn" and final.content[0].text


def test_a_response_and_the_next(responses: Any) -> None:
    first = responses.create(model="demo", input=QUESTION["content"], **GREEDY)
    assert (first.output_text, first.status) == (PARIS, "completed")
    with responses.stream(
        model="demo", input="And of Italy?", previous_response_id=first.id, **GREEDY
    ) as stream:
        second = stream.get_final_response()
    assert "Rome" in second.output_text
    assert second.usage.input_tokens_details.cached_tokens > 0


def test_a_response_that_has_to_call(responses: Any) -> None:
    tools = [{"type": "function", "name": NAME, "parameters": SCHEMA, "strict": True}]
    response = responses.create(
        model="demo", input=WEATHER["content"], tools=tools, tool_choice="required", **GREEDY
    )
    [call] = [item for item in response.output if item.type == "function_call"]
    assert call.name == NAME and '"Paris"' in call.arguments


def test_a_response_in_the_form_of_a_schema(responses: Any) -> None:
    form = {"type": "json_schema", "name": "weather", "schema": SCHEMA, "strict": True}
    response = responses.create(
        model="demo", input="The weather in JSON.", text={"format": form}, max_output_tokens=200
    )
    assert response.status == "incomplete" or '"unit"' in response.output_text
