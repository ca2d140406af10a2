"""What servers are sent, and how their answers are read."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_server import scripted_server

from sglang.bench.answers import Answer
from sglang.bench.backends import BACKENDS, RequestSettings
from sglang.bench.client import Client, open_session
from sglang.bench.prompts import Prompt

PROMPT = Prompt([5, 6, 7], 3, 4)
SETTINGS = RequestSettings(model="m")


async def ask(name: str, events: list[Any], settings: RequestSettings = SETTINGS) -> Answer:
    prompt = PROMPT if BACKENDS[name].takes_ids else Prompt("hello", 3, 4)
    with scripted_server(events) as server:
        async with open_session() as session:
            return await Client(session, server.url, BACKENDS[name]).send(prompt, settings)


def counts(answer: Answer) -> list[int]:
    return [count for _, count in answer.chunks]


async def test_native_chunks_are_cumulative() -> None:
    meta = {"prompt_tokens": 3, "cached_tokens": 1}
    events = [
        {"text": "a", "meta_info": {**meta, "completion_tokens": 1}},
        {"text": "abc", "meta_info": {**meta, "completion_tokens": 3}},
        {"text": "abc", "meta_info": {**meta, "completion_tokens": 3, "finish_reason": {}}},
        "data: [DONE]\n\n",
    ]
    answer = await ask("sglang", events)
    assert (answer.text, answer.output_len, answer.cached_tokens) == ("abc", 3, 1)
    assert counts(answer) == [1, 2]
    assert answer.error == ""


async def test_completions_with_token_ids() -> None:
    events = [
        {"choices": [{"text": "a", "token_ids": [4]}]},
        {"choices": [{"text": "", "token_ids": [5, 6]}]},
        {"choices": [{"text": "", "token_ids": [], "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 3}},
        "data: [DONE]\n\n",
    ]
    answer = await ask("vllm", events)
    assert (answer.token_ids, answer.prompt_tokens, counts(answer)) == ([4, 5, 6], 3, [1, 2])


async def test_chat_frames_are_no_tokens() -> None:
    events = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"delta": {"content": ""}}]},  # half a character: a token all the same
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        "data: [DONE]\n\n",
    ]
    answer = await ask("openai-chat", events)
    assert (answer.text, counts(answer), answer.output_len) == ("a", [1, 1], 2)


async def test_llama_cpp() -> None:
    events = [
        {"content": "a", "tokens": [4], "stop": False},
        {"content": "b", "tokens": [5], "stop": False},
        {"content": "", "tokens": [], "stop": True, "tokens_predicted": 2, "tokens_evaluated": 3},
    ]
    answer = await ask("llama.cpp", events)
    assert (answer.text, answer.token_ids, counts(answer)) == ("ab", [4, 5], [1, 1])
    assert (answer.output_len, answer.prompt_tokens) == (2, 3)


@pytest.mark.parametrize(
    ("events", "part"),
    [
        ([{"error": {"message": "out of luck"}}], "out of luck"),
        (["data: {not json}\n\n"], "cannot be read"),
        ([{"unexpected": 1}], "cannot be read"),
        (["data: [DONE]\n\n"], "no tokens"),
        (['data: {"text'], "middle of an event"),
    ],
)
async def test_bad_answers_are_failures(events: list[Any], part: str) -> None:
    assert part in (await ask("sglang", events)).error


async def test_nobody_there_is_a_failure() -> None:
    async with open_session() as session:
        client = Client(session, "http://127.0.0.1:9", BACKENDS["sglang"])
        assert "Connect" in (await client.send(PROMPT, SETTINGS)).error


@pytest.mark.parametrize(
    ("name", "path", "fields"),
    [
        ("sglang", "/generate", {"input_ids": [5, 6, 7]}),
        ("sglang-native", "/generate", {"input_ids": [5, 6, 7]}),
        ("sglang-oai", "/v1/completions", {"prompt": [5, 6, 7], "ignore_eos": True}),
        ("vllm", "/v1/completions", {"max_tokens": 4, "return_token_ids": True}),
        ("openai", "/v1/completions", {"model": "m", "max_tokens": 4}),
        ("llama.cpp", "/completion", {"n_predict": 4, "ignore_eos": True}),
    ],
)
def test_bodies(name: str, path: str, fields: dict[str, Any]) -> None:
    backend = BACKENDS[name]
    body = backend.body(PROMPT, SETTINGS)
    assert backend.path == path
    assert {key: body[key] for key in fields} == fields


def test_openai_gets_no_fields_of_others() -> None:
    body = BACKENDS["openai"].body(PROMPT, SETTINGS)
    assert not {"ignore_eos", "return_token_ids"} & body.keys()


def test_fields_can_be_added_and_left_out() -> None:
    settings = RequestSettings(extra={"top_k": 3}, omit=frozenset({"stream_options"}))
    body = BACKENDS["vllm"].body(PROMPT, settings)
    assert body["top_k"] == 3
    assert "stream_options" not in body


def test_chats_take_no_token_ids() -> None:
    with pytest.raises(ValueError, match="chat backends take text"):
        BACKENDS["openai-chat"].body(PROMPT, SETTINGS)
