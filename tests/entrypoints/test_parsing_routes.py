"""``/function_call`` and ``/separate_reasoning``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_client import NOW, WEATHER
from fake_runtime import RunningServer, serve

from sglang.srt.entrypoints.parsing import MAX_CHARS


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(reasoning_parser="qwen3") as running:
        yield running


def post(server: RunningServer, path: str, status: int, **body: Any) -> dict[str, Any]:
    response = httpx.post(server.url + path, json=body)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_function_call(server: RunningServer) -> None:
    text = 'So: <|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}'
    answer = post(
        server, "/function_call", 200, text=text, tool_call_parser="llama3", tools=[WEATHER, NOW]
    )
    call = {"tool_index": 0, "name": "get_weather", "parameters": '{"city": "Paris"}'}
    assert answer == {"normal_text": "So:", "calls": [call]}


def test_a_long_text_is_read_too(server: RunningServer) -> None:
    text = "x" * 300_000 + '[TOOL_CALLS] [{"name": "now", "arguments": {}}]'
    answer = post(server, "/function_call", 200, text=text, tool_call_parser="mistral", tools=[NOW])
    assert (len(answer["normal_text"]), len(answer["calls"])) == (300_000, 1)


def test_separate_reasoning(server: RunningServer) -> None:
    answer = post(server, "/separate_reasoning", 200, text="<think>a</think>b")
    assert answer == {"reasoning_text": "a", "text": "b"}
    answer = post(
        server, "/separate_reasoning", 200, text="a</think>b", reasoning_parser="deepseek-r1"
    )
    assert answer == {"reasoning_text": "a", "text": "b"}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/function_call", {"tools": [NOW], "tool_call_parser": "llama3"}, "text must be"),
        ("/function_call", {"text": 5, "tools": [], "tool_call_parser": "llama3"}, "text must be"),
        ("/function_call", {"text": "a", "tool_call_parser": "llama3"}, "tools must be"),
        ("/separate_reasoning", {"text": "a" * (MAX_CHARS + 1)}, f"at most {MAX_CHARS}"),
        ("/function_call", {"text": "a", "tools": [NOW]}, "tool_call_parser is missing"),
        ("/function_call", {"text": "a", "tools": [NOW], "tool_call_parser": "x"}, "got 'x'"),
        (
            "/function_call",
            {"text": "a", "tools": [NOW], "tool_call_parser": 5},
            "must be a string",
        ),
        (
            "/function_call",
            {"text": "a", "tools": [5], "tool_call_parser": "llama3"},
            "tools[0] must be",
        ),
        ("/function_call", {"text": "a", "tools": [], "typo": 1}, "'typo'"),
        ("/separate_reasoning", {}, "text must be"),
        ("/separate_reasoning", {"text": "a", "reasoning_parser": "x"}, "got 'x'"),
        ("/separate_reasoning", {"text": "a", "typo": 1}, "'typo'"),
    ],
)
def test_bad_input(server: RunningServer, path: str, body: dict[str, Any], words: str) -> None:
    assert words in post(server, path, 400, **body)["error"]["message"]
