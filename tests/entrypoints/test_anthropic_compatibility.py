"""The table of compatibility in docs/anthropic-api.md: complete, and true line by line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic.resources.messages import Messages
from chat_client import tool_server
from fake_runtime import RunningServer, repeat_prompt

PAGE = Path(__file__).parents[2] / "docs" / "anthropic-api.md"
HTTP = httpx.Client(trust_env=False, timeout=30)
BODY = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
ROWS: dict[str, tuple[str, str]] = {
    name: (state, note)
    for name, state, note in re.findall(
        r"^\| `(\w+)` \| ([a-z ]+) \| ?(.*?) ?\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
}
REFUSED: dict[str, Any] = {
    "container": "c",
    "context_management": {"edits": [{"type": "x"}]},
    "inference_geo": "us",
    "mcp_servers": [{"type": "url"}],
    "output_format": {"type": "json_schema"},
    "speed": "fast",
    "workspace_id": "w",
}
NO_EFFECT: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "diagnostics": {},
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "user_profile_id": "u",
}
SCHEMA = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
WORKS: dict[str, tuple[dict[str, Any], Callable[[Any, Any], bool]]] = {
    "max_tokens": ({"max_tokens": 2}, lambda body, _: body["usage"]["output_tokens"] == 2),
    "messages": ({}, lambda body, _: body["type"] == "message"),
    "model": ({"model": "other"}, lambda body, _: body["model"] == "fake"),
    "output_config": (
        {"output_config": SCHEMA},
        lambda _, sampling: "object" in sampling.json_schema,
    ),
    "stop_sequences": (
        {"stop_sequences": ["user"], "max_tokens": 9},
        lambda body, _: body["stop_sequence"] == "user",
    ),
    "stream": ({"stream": True}, lambda body, _: "event: message_stop" in body),
    "system": ({"system": "s"}, lambda body, _: body["usage"]["input_tokens"] > 20),
    "temperature": ({"temperature": 0.5}, lambda _, sampling: sampling.temperature == 0.5),
    "thinking": ({"thinking": {"type": "disabled"}}, lambda body, _: bool(body["content"])),
    "tool_choice": (
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
        lambda _, sampling: sampling.structural_tag is not None,
    ),
    "tools": ({"tools": [TOOL]}, lambda body, _: body["usage"]["input_tokens"] > 10),
    "top_k": ({"top_k": 5}, lambda _, sampling: sampling.top_k == 5),
    "top_p": ({"top_p": 0.5}, lambda _, sampling: sampling.top_p == 0.5),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with tool_server(repeat_prompt, tool_call_parser="qwen25") as running:
        yield running


def ask(server: RunningServer, **fields: Any) -> tuple[int, Any, list[Any]]:
    """Status and body of an answer, and what the engine was asked for it."""
    server.engine.requests.clear()
    answer = HTTP.post(f"{server.url}/v1/messages", json={**BODY, **fields})
    is_json = answer.headers["content-type"] == "application/json"
    body = answer.json() if is_json else answer.text
    return answer.status_code, body, list(server.engine.requests)


def test_the_table_has_every_parameter_of_the_client() -> None:
    others = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    for method in (Messages.create, Messages.count_tokens):
        assert ROWS.keys() >= set(inspect.signature(method).parameters) - others


@pytest.mark.parametrize("name", ROWS)
def test_a_parameter_does_what_the_table_says(server: RunningServer, name: str) -> None:
    state, note = ROWS[name]
    if state == "works":
        fields, is_proven = WORKS[name]
        status, body, requests = ask(server, **fields)
        assert status == 200, body
        assert is_proven(body, requests[-1].sampling)
    elif state == "no effect":
        status, body, requests = ask(server, **{name: NO_EFFECT[name]})
        assert status == 200, body
        assert requests[0].input_ids == ask(server)[2][0].input_ids
    else:
        assert state == "refused"
        status, body, _ = ask(server, **{name: REFUSED[name]})
        message = re.match(r"`(.*?)`(;|$)", note)
        assert status == 400
        assert message is not None and body["error"]["message"] == message[1]
