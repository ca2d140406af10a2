"""Bad bodies of ``/v1/messages`` and ``/v1/responses``: refused, in each API's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_client import tool_server
from fake_runtime import say

USER = {"role": "user", "content": "hi"}
PICTURE = {"type": "image", "source": {"type": "url", "url": "http://x/y.png"}}
TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
FUNCTION: dict[str, Any] = {"type": "function", "name": "f"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with (
        tool_server(say("a"), tool_call_parser="hermes") as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        yield client


def says(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "'max_tokens' is missing"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "5"}, "max_tokens"),
    ({"model": None}, "'model' is missing"),
    ({"typo": 1}, "'typo'"),
    ({"messages": []}, "messages"),
    ({"messages": ["hi"]}, "messages.0"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{**USER, "name": "x"}]}, "messages[0].name"),
    (says("hi"), "messages[0].content[0]"),
    (says({"type": "text"}), "messages[0].content[0].text"),
    (says({"type": "text", "text": "a"}, PICTURE), "content of type 'image' is not implemented"),
    (says({"type": "document"}), "content of type 'document' is not implemented"),
    (says({"type": "tool_use", "id": "x", "name": "f", "input": {}}), "only text"),
    (says({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (says({"type": "tool_result", "tool_use_id": "x", "content": 5}), "content[0].content"),
    (says({"type": "tool_result", "tool_use_id": "x", "content": [PICTURE]}), "'image'"),
    (says({"type": "tool_result", "tool_use_id": "x", "is_error": "no"}), "is_error"),
    (says({"type": "tool_use", "id": "x", "name": "f"}, role="assistant"), "input"),
    (
        says({"type": "tool_use", "id": "x", "name": "f", "input": {}}, role="assistant"),
        "results have to follow",
    ),
    ({"system": 5}, "system"),
    ({"system": [PICTURE]}, "system[0]"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"stop_sequences": "x"}, "stop_sequences"),
    ({"stop_sequences": ["x"] * 2000}, "stop_sequences"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{**TOOL, "name": "a b"}]}, "tools[0].name"),
    ({"tools": [{**TOOL, "typo": 1}]}, "tools[0].typo"),
    ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
    ({"tools": [{**TOOL, "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
    ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools[0].type"),
    ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "auto", "x": 1}}, "tool_choice.x"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "maybe"}}, "thinking.type"),
    ({"output_config": {"effort": "low"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
    ({"mcp_servers": [{}]}, "mcp_servers"),
    ({"context_management": {"edits": [{"type": "clear_tool_uses"}]}}, "context_management"),
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"seed": "x"}, "seed"),
]


@pytest.mark.parametrize(("body", "told"), MESSAGES)
def test_bad_messages(client: httpx.Client, body: dict[str, Any], told: str) -> None:
    base = {"model": "m", "max_tokens": 5, "messages": [USER]}
    response = client.post("/v1/messages", json={**base, **body})
    assert response.status_code == 400, response.text
    answer = response.json()
    assert (answer["type"], answer["error"]["type"]) == ("error", "invalid_request_error")
    assert told in answer["error"]["message"]
    assert answer["request_id"] == response.headers["request-id"]


RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["hi"]}, "input[0]"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": []}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0]"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"type": "function_call", "call_id": "x"}]}, "input[0].name"),
    ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
    ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "input[0].summary[0]"),
    ({"input": [{**USER, "id": 5}]}, "input[0].id"),
    ({"typo": 1}, "typo"),
    ({"background": True, "store": False}, "background"),
    ({"conversation": "x"}, "conversation"),
    ({"truncation": "auto"}, "truncation"),
    ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
    ({"include": ["file_search_call.results"]}, "include"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": -1}, "temperature"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"text": {"verbosity": "low"}}, "text.verbosity"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
    ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{**FUNCTION, "name": "a b"}]}, "tools[0].name"),
    ({"tools": [{**FUNCTION, "parameters": {"type": "array"}}]}, "tools[0].parameters.type"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"previous_response_id": "resp_x"}, "previous_response_id"),
]


@pytest.mark.parametrize(("body", "param"), RESPONSES)
def test_bad_responses(client: httpx.Client, body: dict[str, Any], param: str) -> None:
    response = client.post("/v1/responses", json={"input": "hi", **body})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param) and error["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_whatever_goes_wrong_has_anthropics_shape(client: httpx.Client, path: str) -> None:
    assert client.post(path, content=b"{").json()["error"]["type"] == "invalid_request_error"
    assert client.get(path).json()["type"] == "error"
    missing = client.post(f"{path}/nowhere", json={})
    assert missing.status_code == 404
    assert missing.json()["error"]["type"] == "not_found_error"


def test_a_body_that_is_too_large_is_called_so(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.body.MAX_BODY_BYTES", 5)
    response = client.post("/v1/messages", json={"model": "m"})
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "order=up", "after=x", "typo=1"])
def test_bad_queries_for_input_items(client: httpx.Client, query: str) -> None:
    id = client.post("/v1/responses", json={"input": "hi"}).json()["id"]
    response = client.get(f"/v1/responses/{id}/input_items?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == query.partition("=")[0]


def test_the_keys_in_both_headers_are_looked_at() -> None:
    with tool_server(say("a"), api_key="user", admin_api_key="admin") as server:
        statuses = [
            httpx.get(f"{server.url}/v1/models", headers=headers).status_code
            for headers in (
                {"x-api-key": "user"},
                {"x-api-key": "admin"},
                {"x-api-key": "user", "Authorization": "Bearer wrong"},
                {"x-api-key": "wrong", "Authorization": "Bearer user"},
                {"x-api-key": "wrong"},
                {"x-api-key": ""},
                {"x-api-key": "Bearer user"},
            )
        ]
        twice = [("x-api-key", "user"), ("x-api-key", "user")]
        doubled = httpx.get(f"{server.url}/v1/models", headers=twice).status_code
    assert statuses == [200, 200, 200, 200, 401, 401, 401]
    assert doubled == 401


def test_a_draining_server_is_overloaded_in_anthropics_words() -> None:
    with tool_server(say("a")) as server:
        server.state.manager.draining = True
        body = {"model": "m", "max_tokens": 5, "messages": [USER]}
        response = httpx.post(f"{server.url}/v1/messages", json=body)
    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded_error")
