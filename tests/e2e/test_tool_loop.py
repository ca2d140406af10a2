"""The documented weather loop with the demo model and the ``openai`` client, in each format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from sglang.demo_model import demo_model_path
from sglang.srt.tokenizer.loading import load_tokenizer
from tests.e2e.servers import Server, start_server, stop_server
from tools.demo_model.corpus.toolbox import documented_weather_tool

FORMATS = ("llama3", "qwen25", "mistral")
TOOLS: list[Any] = [documented_weather_tool()]
QUESTION = {
    "role": "user",
    "content": "What's the weather like in Boston today? Please respond with the format: Today's "
    "weather is :{function call result}",
}
NAME = "get_current_weather"
ARGUMENTS = {"city": "Boston", "state": "MA", "unit": "fahrenheit"}
FLAG = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
RESULT = (
    "The weather in Boston, MA is 85 degrees fahrenheit. It is partly cloudly, with highs in the "
    "90's."
)
"""What the documentation's function says for these arguments."""


@pytest.fixture(scope="module", params=FORMATS)
def tool_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server]]:
    """A server for each format, and its name."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    server = start_server(log, "--tool-call-parser", request.param)
    yield request.param, server
    stop_server(server)


@pytest.fixture
def create(tool_server: tuple[str, Server]) -> Iterator[Any]:
    """``client.chat.completions.create`` with the tools."""
    with openai.Client(base_url=f"{tool_server[1].url}/v1", api_key="None") as client:
        yield lambda **options: client.chat.completions.create(
            **{"model": "demo", "temperature": 0, "tools": TOOLS, **options}
        )


def test_the_model_calls_the_function(create: Any) -> None:
    [choice] = create(messages=[QUESTION]).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    [call] = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", NAME)
    assert json.loads(call.function.arguments) == ARGUMENTS


def test_the_stream_says_the_same(create: Any) -> None:
    deltas: list[Any] = []
    reasons: list[str | None] = []
    for chunk in create(messages=[QUESTION], stream=True):
        deltas += chunk.choices[0].delta.tool_calls or []
        reasons.append(chunk.choices[0].finish_reason)
    assert [delta.function.name for delta in deltas] == [NAME] + [None] * (len(deltas) - 1)
    assert len(deltas) > 5
    assert json.loads("".join(delta.function.arguments for delta in deltas)) == ARGUMENTS
    assert reasons == [None] * (len(reasons) - 1) + ["tool_calls"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_result_in_the_form_of_the_documentation(create: Any, stream: bool) -> None:
    messages = [
        QUESTION,
        {
            "role": "user",
            "content": "",
            "tool_calls": {"name": NAME, "arguments": json.dumps(ARGUMENTS)},
        },
        {"role": "tool", "content": RESULT, "name": NAME},
    ]
    answer = create(messages=messages, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text.startswith("Today's weather is") and "85 degrees" in text


def test_the_result_in_the_form_of_openai(create: Any) -> None:
    message = create(messages=[QUESTION]).choices[0].message
    result = {"role": "tool", "content": RESULT, "tool_call_id": message.tool_calls[0].id}
    [choice] = create(messages=[QUESTION, message, result]).choices
    assert choice.finish_reason == "stop"
    assert "85 degrees" in choice.message.content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": NAME}}])
def test_a_call_that_is_demanded_is_made(create: Any, choice: Any, stream: bool) -> None:
    joke = {"role": "user", "content": "Tell me a joke about programming"}
    answer = create(messages=[joke], tool_choice=choice, stream=stream, max_tokens=200)
    if stream:
        deltas = [d for chunk in answer for d in chunk.choices[0].delta.tool_calls or []]
        arguments = "".join(d.function.arguments for d in deltas if d.index == 0)
    else:
        arguments = answer.choices[0].message.tool_calls[0].function.arguments
    jsonschema.validate(json.loads(arguments), TOOLS[0]["function"]["parameters"])


def test_a_constraint_waits_for_reasoning_of_bounded_length(
    launch: Callable[..., Server],
) -> None:
    server = launch("--reasoning-parser", "deepseek-r1")
    body: dict[str, Any] = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Say this is a test"}],
        "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": FLAG}},
        "extra_body": {"thinking_budget": 3},
    }
    with openai.Client(base_url=f"{server.url}/v1", api_key="None") as client:
        answer = client.chat.completions.create(**body)
    message: Any = answer.choices[0].message
    assert message.reasoning_content
    jsonschema.validate(json.loads(message.content), FLAG)
    assert answer.usage is not None and answer.usage.completion_tokens_details is not None
    assert (answer.usage.completion_tokens_details.reasoning_tokens or 0) > 3


def test_the_native_routes(tool_server: tuple[str, Server]) -> None:
    name, server = tool_server
    tokenizer = load_tokenizer(demo_model_path())
    prompt = tokenizer.apply_chat_template(
        [QUESTION], tools=TOOLS, add_generation_prompt=True, tokenize=False, tool_call_parser=name
    )
    text = server.generate(prompt, skip_special_tokens=False)["text"]
    body = {"text": text, "tools": TOOLS, "tool_call_parser": name}
    [call] = httpx.post(f"{server.url}/function_call", json=body).json()["calls"]
    assert (call["name"], json.loads(call["parameters"])) == (NAME, ARGUMENTS)
