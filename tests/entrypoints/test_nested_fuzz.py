"""Any value at any depth of any body gets an answer, and never an internal error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from chat_client import tool_server
from fake_runtime import RunningServer, repeat_prompt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUNCTION = {
    "name": "f",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    "strict": False,
}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "content": "u", "name": "n"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "1", "tool_call_id": "c"},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "stop": ["x"],
    "logit_bias": {"1": 1},
    "stream_options": {"include_usage": True},
    "stream": True,
    "chat_template_kwargs": {"a": 1},
    "max_tokens": 2,
}
RESPONSES = {
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "u"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "content": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ],
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "reasoning": {"summary": "auto"},
    "include": ["message.output_text.logprobs"],
    "metadata": {"a": "b"},
    "max_output_tokens": 2,
}
MESSAGES = {
    "model": "m",
    "max_tokens": 2,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "1"}]},
    ],
    "tools": [{"name": "f", "input_schema": FUNCTION["parameters"]}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "disabled"},
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    "metadata": {"user_id": "a"},
}
SAMPLING = {"stop": ["x"], "logit_bias": {"1": 1}, "max_new_tokens": 2, "stop_token_ids": [1]}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", CHAT),
    (
        "/v1/chat/completions",
        {**CHAT, "tools": [], "tool_choice": "none", "response_format": {
            "type": "json_schema", "json_schema": SCHEMA}},
    ),
    ("/v1/completions", {"prompt": ["a", "b"], "logprobs": 1, "max_tokens": 2, "stop": ["x"]}),
    ("/v1/responses", RESPONSES),
    ("/v1/messages", MESSAGES),
    ("/v1/messages/count_tokens", {**MESSAGES, "max_tokens": None}),
    ("/generate", {"text": ["a", "b"], "sampling_params": [SAMPLING, SAMPLING], "rid": ["r", "s"]}),
    ("/generate", {"input_ids": [[1, 2], [3]], "return_logprob": [True, False]}),
    ("/generate", {"text": "a", "session_params": {"id": "i", "rid": "r", "offset": 1}}),
    ("/tokenize", {"messages": CHAT["messages"], "tools": CHAT["tools"]}),
    ("/tokenize", {"prompt": ["a", "b"], "add_special_tokens": True}),
    ("/detokenize", {"tokens": [[1, 2], [3]]}),
    ("/v1/embeddings", {"input": ["a", [1, 2]]}),
    ("/v1/rerank", {"query": "q", "documents": ["a", {"text": "b"}]}),
    ("/v1/score", {"text_1": "a", "text_2": ["b", "c"]}),
    ("/encode", {"text": ["a"], "rid": ["r"]}),
    ("/function_call", {"text": "a", "tools": CHAT["tools"], "tool_call_parser": "qwen25"}),
    ("/separate_reasoning", {"text": "a", "reasoning_parser": "qwen3"}),
    ("/open_session", {"capacity_of_str_len": 10}),
    ("/close_session", {"session_id": "x"}),
    ("/abort_request", {"rid": "x"}),
    ("/v1/batches", {
        "input_file_id": "f", "endpoint": "/v1/completions", "completion_window": "24h",
        "metadata": {"a": "b"},
        "output_expires_after": {"anchor": "created_at", "seconds": 4000}}),
]  # fmt: skip
VALUES = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**70, 1e308, -0.5, "", "a", "\0", "\u2028"),
    *("auto", "none", "text", [], {}, [[]], [{}], {"a": []}, {"type": {}}, {"type": []}, ["a", 1]),
    *([None], {"": None}, "x" * 5000, {"type": "text"}, {"type": "function"}, [[1]] * 3),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside of a body."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def changed(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    inner: Any = body
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return body


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = str(tmp_path_factory.mktemp("fuzz") / "storage")
    with tool_server(repeat_prompt, tool_call_parser="qwen25", file_storage_pth=folder) as server:
        yield server


@pytest.fixture(scope="module")
def http(fuzzed: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fuzzed.url, timeout=30, trust_env=False) as client:
        yield client


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_wrong_value_anywhere_is_no_defect(
    fuzzed: RunningServer, http: httpx.Client, data: st.DataObject
) -> None:
    route, body = data.draw(st.sampled_from(BODIES))
    path = data.draw(st.sampled_from(list(places(body))))
    body = changed(body, path, data.draw(st.sampled_from(VALUES)))
    answer = http.post(route, content=json.dumps(body))
    assert answer.status_code < 500, (route, path, answer.text)
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]
    assert "internal server error" not in answer.text


def test_every_value_of_every_message_field(fuzzed: RunningServer, http: httpx.Client) -> None:
    for route, body in BODIES[:5]:
        for field in ("messages", "input", "tools", "tool_choice"):
            for path in places(body.get(field), (field,)):
                for value in ({}, [], {"type": {}}, 5):
                    answer = http.post(route, content=json.dumps(changed(body, path, value)))
                    assert answer.status_code < 500, (route, path, answer.text)
    fuzzed.assert_idle()
