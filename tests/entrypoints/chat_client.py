"""Chat over HTTP for tests: whole answers, and streams put together again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from fake_runtime import CHATML, RunningServer, Script, serve

from sglang.srt.tokenizer.chat_template import ChatTemplate

USER = [{"role": "user", "content": "Say it."}]
TEMPLATE = "{% for tool in tools or [] %}{{ tool.function.name }};{% endfor %}" + CHATML
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
NOW = {"type": "function", "function": {"name": "now"}}
HELLO = "Hello, wörld 🌍"
CALLS = (
    "Let me see.\n"
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
)
"""What a model says that calls two tools, in the form of Hermes and Qwen."""


@contextlib.contextmanager
def tool_server(script: Script, template: str = TEMPLATE, **args: Any) -> Iterator[RunningServer]:
    """A server whose chat template knows tools."""
    with serve(script, config={"context_length": 4096}, **args) as server:
        server.state.chat_template = ChatTemplate(template)
        yield server


def chat(server: RunningServer, **body: Any) -> dict[str, Any]:
    response = httpx.post(
        f"{server.url}/v1/chat/completions", json={"messages": USER, **body}, trust_env=False
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@dataclass
class Merged:
    """What a client makes of a stream."""

    reasoning: str = ""
    content: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    deltas: list[dict[str, Any]] = field(default_factory=list)


def stream(server: RunningServer, index: int = 0, **body: Any) -> Merged:
    """One choice of a streamed answer."""
    merged = Merged()
    json_body = {
        "messages": USER,
        "stream": True,
        "stream_options": {"include_usage": True},
        **body,
    }
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=json_body, trust_env=False) as response:
        assert response.status_code == 200, response.read()
        lines = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    for chunk in map(json.loads, lines):
        merged.usage = chunk["usage"]
        for choice in chunk["choices"]:
            if choice["index"] == index:
                _merge(merged, choice)
    return merged


def _merge(merged: Merged, choice: dict[str, Any]) -> None:
    delta = choice["delta"]
    assert merged.finish_reason is None
    merged.deltas.append(delta)
    merged.finish_reason = choice["finish_reason"]
    merged.reasoning += delta.get("reasoning_content", "")
    merged.content += delta.get("content", "")
    for call in delta.get("tool_calls", []):
        if call["index"] == len(merged.calls):
            merged.calls.append({"id": call["id"], "type": call["type"], **call["function"]})
        else:
            assert "id" not in call
            merged.calls[call["index"]]["arguments"] += call["function"]["arguments"]
