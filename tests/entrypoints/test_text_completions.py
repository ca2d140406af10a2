"""``/v1/completions``: prompts of every form, echo, logprobs, streams."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fake_runtime import EOS, encode_text, logprob_of, serve


def complete(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/completions", json=body)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


def stream(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        assert response.status_code == 200, response.read()
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def texts(answer: dict[str, Any]) -> list[str]:
    return [choice["text"] for choice in answer["choices"]]


def test_the_shape_of_an_answer(client: httpx.Client) -> None:
    answer = complete(client, model="x", prompt="hello")
    assert answer.pop("id").startswith("cmpl-")
    assert answer.pop("created") > 0
    assert answer == {
        "object": "text_completion",
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "text": "hello",
                "logprobs": None,
                "finish_reason": "stop",
                "matched_stop": EOS,
            }
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 6,
            "total_tokens": 11,
            "prompt_tokens_details": None,
        },
    }


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        (encode_text("one"), ["one"]),
        ([encode_text("one"), encode_text("two")], ["one", "two"]),
    ],
)
def test_forms_of_prompts(client: httpx.Client, prompt: Any, expected: list[str]) -> None:
    assert texts(complete(client, prompt=prompt)) == expected


def test_sixteen_tokens_by_default(client: httpx.Client) -> None:
    answer = complete(client, prompt="x" * 20)
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["finish_reason"] == "length"


def test_n_with_several_prompts(client: httpx.Client) -> None:
    answer = complete(client, prompt=["a", "bb"], n=2, best_of=2)
    assert texts(answer) == ["a", "a", "bb", "bb"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("prompt", ["hello", encode_text("hello"), ["hello"]])
def test_echo(client: httpx.Client, prompt: Any) -> None:
    assert texts(complete(client, prompt=prompt, echo=True)) == ["hellohello"]
    chunks = stream(client, prompt=prompt, echo=True)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "hellohello"


def test_streams_give_the_same_as_whole_answers(client: httpx.Client) -> None:
    chunks = stream(client, prompt=["one", "zwölf"])
    for index, text in enumerate(["one", "zwölf"]):
        mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert "".join(choice["text"] for choice in mine) == text
        reasons = [choice["finish_reason"] for choice in mine]
        assert reasons == [None] * (len(reasons) - 1) + ["stop"]


def test_streamed_usage(client: httpx.Client) -> None:
    chunks = stream(client, prompt="hello", stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 11


def test_logprobs(client: httpx.Client) -> None:
    logprobs = complete(client, prompt="ab", logprobs=1)["choices"][0]["logprobs"]
    a, b = encode_text("ab")
    assert logprobs["tokens"] == ["a", "b", "<|endoftext|>"]
    assert logprobs["token_logprobs"] == [logprob_of(t) for t in (a, b, EOS)]
    assert logprobs["text_offset"] == [0, 1, 2]
    assert logprobs["top_logprobs"][0] == {"!": 0.0, "a": logprob_of(a)}


def test_logprobs_of_an_echoed_prompt(client: httpx.Client) -> None:
    body = {"prompt": "ab", "logprobs": 0, "echo": True, "max_tokens": 1}
    logprobs = complete(client, **body)["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["a", "b", "a"]
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["top_logprobs"][0] is None
    assert logprobs["text_offset"] == [0, 1, 2]
    streamed = [chunk["choices"][0]["logprobs"] for chunk in stream(client, **body)]
    for name, values in logprobs.items():
        assert [value for piece in streamed for value in piece[name]] == values


def test_a_prompt_can_be_scored_without_generating(client: httpx.Client) -> None:
    answer = complete(client, prompt="ab", logprobs=0, echo=True, max_tokens=0)
    assert texts(answer) == ["ab"]
    assert answer["choices"][0]["logprobs"]["tokens"] == ["a", "b"]
    assert answer["usage"]["completion_tokens"] == 0


def test_token_ids_on_request(client: httpx.Client) -> None:
    ids = [*encode_text("hi"), EOS]
    assert complete(client, prompt="hi", return_token_ids=True)["choices"][0]["token_ids"] == ids
    chunks = stream(client, prompt="hi", return_token_ids=True)
    assert [i for chunk in chunks for i in chunk["choices"][0]["token_ids"]] == ids


def test_the_best_of_several_answers() -> None:
    letters = iter("dbacDBAC")
    # The fake model finds smaller tokens likelier.
    with serve(lambda message: [*encode_text(next(letters)), EOS]) as server:
        client = httpx.Client(base_url=server.url, trust_env=False)
        answer = complete(client, prompt=["x", "y"], n=2, best_of=4)
    assert texts(answer) == ["a", "b", "A", "B"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert all(choice["logprobs"] is None for choice in answer["choices"])
    assert answer["usage"]["completion_tokens"] == 16


def test_usage_in_every_chunk(client: httpx.Client) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = stream(client, prompt="hello", stream_options=options)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] == 6
    assert all(chunk["usage"]["prompt_tokens"] == 5 for chunk in chunks)
