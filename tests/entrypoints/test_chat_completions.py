"""``/v1/chat/completions``: shapes, streams, options."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fake_runtime import (
    CONTEXT_LENGTH,
    EOS,
    RunningServer,
    bytes_text,
    encode_text,
    logprob_of,
    say,
    serve,
)

USER = [{"role": "user", "content": "Say it."}]


def chat(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/chat/completions", json={"messages": USER, **body})
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


def stream(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    json_body = {"messages": USER, "stream": True, **body}
    with client.stream("POST", "/v1/chat/completions", json=json_body) as response:
        assert response.status_code == 200, response.read()
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def merged(chunks: list[dict[str, Any]], index: int = 0) -> tuple[str, str]:
    """Text and finish reason of one choice of a stream."""
    choices = [c["choices"][0] for c in chunks if c["choices"]]
    mine = [choice for choice in choices if choice["index"] == index]
    reasons = [choice["finish_reason"] for choice in mine]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    return "".join(choice["delta"].get("content", "") for choice in mine), reasons[-1]


@pytest.fixture(scope="module")
def server() -> Any:
    with serve(say("Grüße 🌍!")) as running:
        yield running


def prompt_of(server: RunningServer) -> str:
    return bytes_text(server.engine.requests[-1])


def test_the_shape_of_an_answer(client: httpx.Client) -> None:
    answer = chat(client, model="whatever")
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 0
    count = len("Grüße 🌍!".encode()) + 1
    prompt = len(
        "<|im_start|>user\nSay it.<|im_end|>\n<|im_start|>assistant\n".replace(
            "<|im_start|>", "\0"
        ).replace("<|im_end|>", "\0")
    )
    assert answer == {
        "object": "chat.completion",
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grüße 🌍!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "matched_stop": EOS,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": count,
            "total_tokens": prompt + count,
            "prompt_tokens_details": None,
        },
    }


def test_the_template_makes_the_prompt(client: httpx.Client, server: RunningServer) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "refusal": None},
        {"role": "user", "content": "d", "name": "Eve"},
    ]
    chat(client, messages=messages)
    assert prompt_of(server) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na\nb<|im_end|>\n"
        "<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_final_message_can_be_continued(client: httpx.Client, server: RunningServer) -> None:
    messages = [*USER, {"role": "assistant", "content": "Sure: "}]
    chat(client, messages=messages, continue_final_message=True)
    assert prompt_of(server).endswith("<|im_start|>assistant\nSure: ")


def test_a_stream_gives_the_same_as_the_whole_answer(client: httpx.Client) -> None:
    chunks = stream(client)
    assert merged(chunks) == ("Grüße 🌍!", "stop")
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert not any("\ufffd" in json.dumps(chunk, ensure_ascii=False) for chunk in chunks)
    assert all("usage" not in chunk for chunk in chunks)


def test_a_stream_can_end_with_its_usage(client: httpx.Client) -> None:
    chunks = stream(client, stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == chat(client)["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_n_choices(client: httpx.Client) -> None:
    answer = chat(client, n=3)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    alone = chat(client)["usage"]
    assert answer["usage"]["prompt_tokens"] == alone["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 3 * alone["completion_tokens"]
    chunks = stream(client, n=3)
    assert [merged(chunks, i) for i in range(3)] == [("Grüße 🌍!", "stop")] * 3


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_token_limits(client: httpx.Client, field: str) -> None:
    answer = chat(client, **{field: 2})
    assert answer["choices"][0]["message"]["content"] == "Gr"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert merged(stream(client, **{field: 2})) == ("Gr", "length")


def test_without_a_limit_the_context_is_the_limit(
    client: httpx.Client, server: RunningServer
) -> None:
    usage = chat(client)["usage"]
    limit = server.engine.requests[-1].sampling.max_new_tokens
    assert limit == CONTEXT_LENGTH - usage["prompt_tokens"]


def test_an_unfinished_character_at_the_end_is_marked(client: httpx.Client) -> None:
    # The second byte of "ü" is cut off.
    assert merged(stream(client, max_tokens=3)) == ("Gr\ufffd", "length")
    assert chat(client, max_tokens=3)["choices"][0]["message"]["content"] == "Gr\ufffd"


@pytest.mark.parametrize("stop", ["ße", ["zzz", "ße"]])
def test_stop_strings_across_chunks(client: httpx.Client, stop: Any) -> None:
    answer = chat(client, stop=stop)["choices"][0]
    assert answer["message"]["content"] == "Grü"
    assert (answer["finish_reason"], answer["matched_stop"]) == ("stop", "ße")
    assert merged(stream(client, stop=stop)) == ("Grü", "stop")


def test_logprobs(client: httpx.Client) -> None:
    content = chat(client, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    g = encode_text("G")[0]
    assert content[0] == {
        "token": "G",
        "logprob": logprob_of(g),
        "bytes": [ord("G")],
        "top_logprobs": [
            {"token": "!", "logprob": 0.0, "bytes": [ord("!")]},
            {"token": '"', "logprob": -0.01, "bytes": [ord('"')]},
        ],
    }
    assert [entry["bytes"] for entry in content[2:4]] == [[0xC3], [0xBC]]
    assert len(content) == len("Grüße 🌍!".encode()) + 1


def test_streamed_logprobs_are_those_of_the_whole_answer(client: httpx.Client) -> None:
    chunks = stream(client, logprobs=True, top_logprobs=1)
    pieces = [c["choices"][0]["logprobs"] for c in chunks if c["choices"]]
    content = [entry for piece in pieces if piece for entry in piece["content"]]
    whole = chat(client, logprobs=True, top_logprobs=1)
    assert content == whole["choices"][0]["logprobs"]["content"]


def test_token_ids_on_request(client: httpx.Client) -> None:
    ids = [*encode_text("Grüße 🌍!"), EOS]
    assert chat(client, return_token_ids=True)["choices"][0]["token_ids"] == ids
    chunks = stream(client, return_token_ids=True)
    assert [i for c in chunks for i in c["choices"][0].get("token_ids", [])] == ids


def test_sampling_parameters_arrive(client: httpx.Client, server: RunningServer) -> None:
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "frequency_penalty": 0.2,
        "presence_penalty": 0.3,
        "repetition_penalty": 1.1,
        "seed": 42,
        "stop_token_ids": [3],
        "ignore_eos": True,
    }
    chat(client, min_tokens=2, logit_bias={"5": -100, "6": 1.5}, **fields)
    sampling = server.engine.requests[-1].sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert sampling.min_new_tokens == 2
    assert sampling.logit_bias == {5: -100.0, 6: 1.5}


def test_the_checkpoints_defaults_hold_unless_the_request_says_otherwise() -> None:
    config = {"generation_defaults": {"temperature": 0.6, "top_k": 20}}
    with serve(config=config) as server, httpx.Client(base_url=server.url) as client:
        chat(client, top_k=-1, max_tokens=1)
        sampling = server.engine.requests[-1].sampling
        assert (sampling.temperature, sampling.top_k) == (0.6, -1)


def test_the_cache_report_is_part_of_the_usage() -> None:
    with serve(enable_cache_report=True) as server, httpx.Client(base_url=server.url) as client:
        answer = chat(client, max_tokens=1, n=2)
        assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


def test_harmless_and_neutral_fields_are_accepted(client: httpx.Client) -> None:
    chat(
        client,
        user="me",
        metadata={"a": "b"},
        store=False,
        parallel_tool_calls=True,
        modalities=["text"],
        response_format={"type": "text"},
        tools=None,
        tool_choice="none",
        functions=None,
        temperature=None,
        n=None,
    )


def test_tools_that_must_not_be_called_are_accepted(client: httpx.Client) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    chat(client, tools=[tool], tool_choice="none")


def test_stop_strings_of_the_template_hold(client: httpx.Client, server: RunningServer) -> None:
    server.state.chat_stops.append("ße")
    try:
        assert chat(client)["choices"][0]["message"]["content"] == "Grü"
        assert chat(client, stop="r")["choices"][0]["message"]["content"] == "G"
    finally:
        server.state.chat_stops.clear()
