"""Bad input on every field: an error that names it, and nothing left behind."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fake_runtime import CONTEXT_LENGTH, VOCAB_SIZE, RunningServer

USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = [{"type": "image_url", "image_url": {"url": "x"}}]

NATIVE: list[tuple[dict[str, Any], str]] = [
    ({}, "give one of text, input_ids and input_embeds"),
    ({"text": "a", "input_ids": [1]}, "give one of text, input_ids and input_embeds"),
    ({"text": ""}, "text is empty"),
    ({"text": []}, "text is an empty list"),
    ({"text": 5}, "text"),
    ({"text": ["a", None]}, r"text[1]"),
    ({"text": ["a", ""]}, r"text[1]"),
    ({"input_ids": []}, "input_ids is empty"),
    ({"input_ids": [[]]}, r"input_ids[0] is empty"),
    ({"input_ids": "abc"}, "input_ids"),
    ({"input_ids": [1, "2"]}, r"input_ids[1]"),
    ({"input_ids": [1, True]}, r"input_ids[1]"),
    ({"input_ids": [1.5]}, r"input_ids[0]"),
    ({"input_ids": [[1], 2]}, r"input_ids[1]"),
    ({"input_ids": [VOCAB_SIZE]}, f"[0, {VOCAB_SIZE})"),
    ({"input_ids": [-1]}, "is -1"),
    ({"input_ids": [2**63]}, "input_ids[0]"),
    ({"input_ids": [1] * CONTEXT_LENGTH}, f"{CONTEXT_LENGTH} tokens"),
    ({"text": "a", "sampling_params": []}, "sampling_params"),
    ({"text": "a", "sampling_params": "x"}, "sampling_params"),
    ({"text": ["a", "b"], "sampling_params": [{}]}, "1 entries for 2 prompts"),
    ({"text": "a", "sampling_params": {"temperature": -1}}, "temperature"),
    ({"text": "a", "sampling_params": {"temperature": True}}, "temperature"),
    ({"text": "a", "sampling_params": {"max_new_tokens": -1}}, "max_new_tokens"),
    ({"text": "a", "sampling_params": {"n": 10**9}}, "n must be"),
    ({"text": "a", "sampling_params": {"typo": 1}}, "typo"),
    ({"text": "a", "sampling_params": {"regex": ""}}, "regex must be a non-empty string"),
    ({"text": "a", "sampling_params": {"json_schema": 5}}, "json_schema must be"),
    ({"text": "a", "sampling_params": {"ebnf": ["root"]}}, "ebnf must be"),
    ({"text": "a", "sampling_params": {"regex": "a", "ebnf": "b"}}, "only one of"),
    ({"text": "a", "rid": 7}, "rid"),
    ({"text": "a", "rid": "x" * 1000}, "rid"),
    ({"text": "a", "rid": ["x"]}, "rid is a list"),
    ({"text": ["a", "b"], "rid": ["x", "x"]}, "twice"),
    ({"text": "a", "return_logprob": "yes"}, "return_logprob"),
    ({"text": "a", "return_logprob": 1}, "return_logprob"),
    ({"text": "a", "logprob_start_len": -2}, "logprob_start_len"),
    ({"text": "a", "logprob_start_len": 1.5}, "logprob_start_len"),
    ({"text": "a", "top_logprobs_num": -1}, "top_logprobs_num"),
    ({"text": "a", "top_logprobs_num": 10**6}, "top_logprobs_num"),
    ({"text": "a", "return_text_in_logprobs": 1}, "return_text_in_logprobs"),
    ({"text": "a", "stream": "yes"}, "stream"),
    ({"text": "a", "log_metrics": 0}, "log_metrics"),
    ({"text": "a", "priority": "high"}, "priority"),
    ({"text": "a", "priority": 2**40}, "priority"),
    ({"text": "a", "cache_salt": 5}, "cache_salt"),
    ({"text": "a", "cache_salt": ""}, "cache_salt"),
    ({"text": "a", "input_embeds": [[0.5]]}, "give one of text, input_ids and input_embeds"),
    ({"text": "a", "image_data": "x.png"}, "not implemented yet"),
    ({"text": "a", "modalities": ["image"]}, "not implemented yet"),
    ({"text": "a", "lora_path": "x"}, "not implemented yet"),
    ({"text": "a", "session_params": {"id": 1}}, "session_params.id must be a string"),
    ({"text": "a", "custom_logit_processor": "x"}, "--enable-custom-logit-processor"),
    ({"text": "a", "custom_logit_processor": 5}, "custom_logit_processor must be a string"),
    ({"text": "a", "custom_logit_processor": ["x"]}, "custom_logit_processor is a list"),
    ({"text": "a", "sampling_params": {"custom_params": {}}}, "custom_params is for a"),
    ({"text": "a", "return_hidden_states": 1}, "return_hidden_states"),
    ({"text": "a", "typo": 1}, "'typo'"),
]

COMMON: list[tuple[dict[str, Any], str]] = [
    ({"typo": 1}, "typo"),
    ({"model": 5}, "model"),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
    ({"n": 0}, "n must be"),
    ({"n": 1.5}, "n"),
    ({"n": 10**9}, "n must be"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -5}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"frequency_penalty": 3}, "frequency_penalty"),
    ({"presence_penalty": -3}, "presence_penalty"),
    ({"repetition_penalty": -1}, "repetition_penalty"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"1": 1000}}, "logit_bias"),
    ({"logit_bias": [1]}, "logit_bias"),
    ({"seed": "x"}, "seed"),
    ({"seed": 2**70}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": ["x"] * 1000}, "stop"),
    ({"stop_token_ids": [VOCAB_SIZE]}, "stop_token_ids"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_tokens": 5, "min_tokens": 6}, "min_tokens must be at most max_tokens"),
    ({"ignore_eos": 1}, "ignore_eos"),
    ({"skip_special_tokens": "no"}, "skip_special_tokens"),
    ({"return_token_ids": 1}, "return_token_ids"),
    ({"rid": ""}, "rid"),
    ({"priority": 1.5}, "priority"),
    ({"cache_salt": 1}, "cache_salt"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_object"}, "regex": "a"}, "response_format and regex"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": "json"}, "response_format"),
    ({"regex": 5}, "regex must be"),
    ({"regex": "a", "ebnf": "b"}, "only one of"),
    ({"lora_path": "a"}, "not implemented yet"),
]

CHAT: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": ["hi"]}, "messages"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": IMAGE}]}, "not implemented yet"),
    ({"messages": [{"role": "user", "content": "a", "typo": 1}]}, "messages[0].typo"),
    ({"messages": [{"role": "user", "content": "a", "name": 1}]}, "messages[0].name"),
    ({"messages": [{"role": "user", "content": "x" * CONTEXT_LENGTH}]}, f"{CONTEXT_LENGTH}"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_tokens"),
    ({"logprobs": 1}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    ({"tools": [TOOL]}, "no place for tools"),
    ({"tools": [TOOL], "tool_choice": "auto"}, "no place for tools"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"separate_reasoning": "no"}, "separate_reasoning"),
    ({"reasoning_effort": 5}, "reasoning_effort"),
    ({"reasoning_effort": "low"}, "not implemented yet"),
    ({"thinking_budget": 5}, "thinking_budget needs"),
    ({"thinking_budget": -1}, "thinking_budget"),
    ({"functions": [{}]}, "not implemented yet"),
    ({"continue_final_message": True}, "continue_final_message"),
    ({"chat_template_kwargs": {"messages": []}}, "messages"),
    ({"chat_template_kwargs": 5}, "chat_template_kwargs"),
    ({"chat_template": "{{ x }}"}, "not implemented yet"),
    ({"modalities": ["audio"]}, "not implemented yet"),
    ({"prompt": "hi"}, "prompt"),
]

COMPLETION: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": {}}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": ["a", 5]}, "prompt[1]"),
    ({"prompt": [1, "a"]}, "prompt[1]"),
    ({"prompt": [[1], "a"]}, "prompt[1]"),
    ({"prompt": [VOCAB_SIZE]}, "prompt[0]"),
    ({"prompt": "x" * CONTEXT_LENGTH}, f"{CONTEXT_LENGTH}"),
    ({"best_of": 1, "n": 2}, "best_of is 1; it must be at least n"),
    ({"best_of": 2, "stream": True}, "in a stream"),
    ({"best_of": 129}, "best_of"),
    ({"suffix": "x"}, "not implemented yet"),
    ({"logprobs": 21}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"echo": 1}, "echo"),
    ({"messages": USER}, "messages"),
]


def check(client: httpx.Client, path: str, body: dict[str, Any], words: str) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    assert words in error["message"]
    return error


@pytest.mark.parametrize(("body", "words"), NATIVE)
def test_native_fields(client: httpx.Client, body: dict[str, Any], words: str) -> None:
    error = check(client, "/generate", body, words)
    assert error.keys() == {"message"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("body", "words"), COMMON + CHAT)
def test_chat_fields(
    client: httpx.Client, body: dict[str, Any], words: str, streamed: bool
) -> None:
    if streamed and "stream_options" in body:
        return
    stream = {"stream": True} if streamed else {}
    error = check(client, "/v1/chat/completions", {"messages": USER, **stream, **body}, words)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert "new_tokens" not in error["message"]


@pytest.mark.parametrize(("body", "words"), COMMON + COMPLETION)
def test_completion_fields(client: httpx.Client, body: dict[str, Any], words: str) -> None:
    error = check(client, "/v1/completions", {"prompt": "hi", **body}, words)
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "words"), [({}, "rid"), ({"rid": 5}, "rid"), ({"rid": "a", "x": 1}, "'x'")]
)
def test_abort_fields(client: httpx.Client, body: dict[str, Any], words: str) -> None:
    check(client, "/abort_request", body, words)


@pytest.mark.parametrize("path", ["/generate", "/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b'{"text": NaN}', 400),
        (b'{"text": "\xff"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"text": ' + b"[" * 500 + b"]" * 500 + b"}", 400),
        (b'{"text": "' + b"x" * (1 << 20), 400),
    ],
)
def test_bodies_that_are_no_json_object(
    client: httpx.Client, path: str, body: bytes, status: int
) -> None:
    assert client.post(path, content=body).status_code == status


def test_bodies_are_bounded(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.body.MAX_BODY_BYTES", 100)
    assert client.post("/generate", content=b"x" * 101).status_code == 413

    def pieces() -> Any:
        yield from [b"x" * 60] * 2

    assert client.post("/generate", content=pieces()).status_code == 413


def test_unknown_routes_and_methods(client: httpx.Client) -> None:
    assert client.get("/nowhere").json()["error"]["message"] == "there is no route /nowhere"
    response = client.get("/generate")
    assert response.status_code == 405
    assert "does not support GET" in response.json()["error"]["message"]


def test_nothing_is_left_behind(server: RunningServer) -> None:
    server.assert_idle()
    assert server.engine.requests == []
