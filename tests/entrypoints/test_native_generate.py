"""``/generate``: answers, batches, streams, log-probabilities, stops."""

from __future__ import annotations

import itertools
import json
from typing import Any

import httpx
import pytest
from fake_runtime import EOS, RunningServer, encode_text, logprob_of, repeat_prompt, say, serve


def generate(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/generate", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def stream(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The chunks of a stream, which must end with [DONE]."""
    with client.stream("POST", "/generate", json={**body, "stream": True}) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    return [json.loads(event) for event in events]


def test_a_single_prompt_gives_one_answer(client: httpx.Client) -> None:
    assert generate(client, text="hello", rid="r1") == {
        "text": "hello",
        "meta_info": {
            "id": "r1",
            "finish_reason": {"type": "stop", "matched": EOS},
            "prompt_tokens": 5,
            "completion_tokens": 6,
            "cached_tokens": 2,
        },
    }


def test_put_is_post(client: httpx.Client) -> None:
    assert client.put("/generate", json={"text": "hello"}).json()["text"] == "hello"


def test_the_content_type_does_not_matter(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = client.post("/generate", content=b'{"text": "hello"}', headers=headers)
    assert response.json()["text"] == "hello"


def test_token_ids_as_prompt(client: httpx.Client) -> None:
    assert generate(client, input_ids=encode_text("hello"))["text"] == "hello"


def test_a_batch_gives_a_list_in_order(client: httpx.Client) -> None:
    answers = generate(client, text=["one", "two", "three"])
    assert [answer["text"] for answer in answers] == ["one", "two", "three"]


def test_a_batch_of_token_ids(client: httpx.Client) -> None:
    answers = generate(client, input_ids=[encode_text("one"), encode_text("two")])
    assert [answer["text"] for answer in answers] == ["one", "two"]


def test_a_batch_of_one_gives_a_list(client: httpx.Client) -> None:
    assert [answer["text"] for answer in generate(client, text=["one"])] == ["one"]


def test_options_may_differ_by_prompt(client: httpx.Client) -> None:
    answers = generate(
        client,
        text=["first", "second"],
        rid=["a", "b"],
        sampling_params=[{"max_new_tokens": 2}, {"max_new_tokens": 3}],
        return_logprob=[False, True],
    )
    assert [answer["text"] for answer in answers] == ["fi", "sec"]
    assert [answer["meta_info"]["id"] for answer in answers] == ["a", "b"]
    assert ["output_token_logprobs" in a["meta_info"] for a in answers] == [False, True]


def test_n_gives_n_answers_with_seeds_of_their_own(
    client: httpx.Client, server: RunningServer
) -> None:
    answers = generate(client, text="hi", rid="many", sampling_params={"n": 3, "seed": 5})
    assert [answer["text"] for answer in answers] == ["hi"] * 3
    seeds = [r.sampling.seed for r in server.engine.requests if r.rid.startswith("many")]
    assert seeds[0] == 5
    assert len(set(seeds)) == 3


def test_n_in_a_batch_keeps_the_answers_of_a_prompt_together(client: httpx.Client) -> None:
    answers = generate(client, text=["one", "two"], sampling_params={"n": 2})
    assert [answer["text"] for answer in answers] == ["one", "one", "two", "two"]


def test_length_limit(client: httpx.Client) -> None:
    answer = generate(client, text="hello", sampling_params={"max_new_tokens": 3})
    assert answer["text"] == "hel"
    assert answer["meta_info"]["finish_reason"] == {"type": "length", "length": 3}


def test_streams_are_cumulative_and_end_like_the_whole_answer(client: httpx.Client) -> None:
    chunks = stream(client, text="hello", rid="s")
    texts = [chunk["text"] for chunk in chunks]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert chunks[-1] == generate(client, text="hello", rid="s")
    assert all(chunk["meta_info"]["finish_reason"] is None for chunk in chunks[:-1])


def test_a_streamed_batch_says_which_prompt_a_chunk_belongs_to(client: httpx.Client) -> None:
    last = {}
    for chunk in stream(client, text=["one", "two"]):
        last[chunk["index"]] = chunk["text"]
    assert last == {0: "one", 1: "two"}


def test_broken_characters_are_never_sent(client: httpx.Client) -> None:
    text = "naïve 🌍 日本"
    chunks = stream(client, text=text)
    assert chunks[-1]["text"] == text
    assert not any("\ufffd" in chunk["text"] for chunk in chunks)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("tokens_per_step", [1, 4, 100])
def test_stop_strings_end_the_answer_at_the_token_that_completes_them(
    streamed: bool, tokens_per_step: int
) -> None:
    with serve(say("one two three four")) as server, httpx.Client(base_url=server.url) as client:
        server.engine.tokens_per_step = tokens_per_step
        body = {
            "text": "x",
            "return_logprob": True,
            "sampling_params": {"stop": ["three", "two "]},
        }
        answer = stream(client, **body)[-1] if streamed else generate(client, **body)
        assert answer["text"] == "one "
        meta = answer["meta_info"]
        assert meta["finish_reason"] == {"type": "stop", "matched": "two "}
        assert meta["completion_tokens"] == len("one two ")
        assert len(meta["output_token_logprobs"]) == len("one two ")
        server.assert_idle()


def test_a_stop_string_frees_the_engine(server: RunningServer, client: httpx.Client) -> None:
    generate(client, text="a long text", rid="stopped", sampling_params={"stop": "long"})
    assert "stopped" in server.engine.aborted


def test_part_of_a_stop_string_at_the_end_is_text(client: httpx.Client) -> None:
    answer = generate(client, text="one tw", sampling_params={"stop": "two"})
    assert answer["text"] == "one tw"
    assert answer["meta_info"]["finish_reason"]["type"] == "stop"


def test_the_stop_token_is_not_in_the_text(client: httpx.Client) -> None:
    params = {"stop_token_ids": [EOS], "skip_special_tokens": False}
    assert generate(client, text="hello", sampling_params=params)["text"] == "hello"


def test_special_tokens_can_be_shown() -> None:
    script = say("a<|im_start|>b")
    with serve(script) as server, httpx.Client(base_url=server.url) as client:
        assert generate(client, text="x")["text"] == "ab"
        shown = generate(client, text="x", sampling_params={"skip_special_tokens": False})
        assert shown["text"] == "a<|im_start|>b"


def test_output_logprobs_are_triples(client: httpx.Client) -> None:
    a, b = encode_text("ab")
    meta = generate(client, text="ab", return_logprob=True)["meta_info"]
    assert meta["output_token_logprobs"] == [
        [logprob_of(a), a, None],
        [logprob_of(b), b, None],
        [logprob_of(EOS), EOS, None],
    ]
    assert meta["input_token_logprobs"] == []
    assert "output_top_logprobs" not in meta


def test_logprobs_of_the_prompt_and_the_best_tokens_with_text(client: httpx.Client) -> None:
    a, b = encode_text("ab")
    meta = generate(
        client,
        text="ab",
        return_logprob=True,
        logprob_start_len=0,
        top_logprobs_num=2,
        return_text_in_logprobs=True,
    )["meta_info"]
    assert meta["input_token_logprobs"] == [[None, a, "a"], [logprob_of(b), b, "b"]]
    assert [len(tops) for tops in meta["output_top_logprobs"]] == [2, 2, 2]
    assert meta["output_top_logprobs"][0][0] == [0.0, 0, "!"]
    assert len(meta["input_top_logprobs"]) == 2


def test_streamed_logprobs_are_cumulative(client: httpx.Client) -> None:
    body = {"text": "abc", "return_logprob": True, "top_logprobs_num": 1, "rid": "l"}
    chunks = stream(client, **body)
    for chunk in chunks:
        meta = chunk["meta_info"]
        assert len(meta["output_token_logprobs"]) == meta["completion_tokens"]
        assert len(meta["output_top_logprobs"]) == meta["completion_tokens"]
    assert chunks[-1] == generate(client, **body)


def test_stream_interval_spaces_the_chunks() -> None:
    with (
        serve(say("abcdefgh"), step_seconds=0.02, stream_interval=3) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        texts = [chunk["text"] for chunk in stream(client, text="x")]
        assert texts == ["a", "abcd", "abcdefg", "abcdefgh"]


def test_without_a_tokenizer_tokens_come_and_go() -> None:
    with (
        serve(repeat_prompt, tokenizer=False, skip_tokenizer_init=True) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        answer = generate(client, input_ids=[5, 6])
        assert answer["token_ids"] == [5, 6, EOS]
        assert "text" not in answer
        assert stream(client, input_ids=[5, 6])[-1]["token_ids"] == [5, 6, EOS]
        assert client.post("/generate", json={"text": "hi"}).status_code == 400
        stop = {"input_ids": [5], "sampling_params": {"stop": "x"}}
        assert client.post("/generate", json=stop).status_code == 400
        assert client.post("/v1/completions", json={"prompt": "hi"}).status_code == 400


def test_a_salt_becomes_the_namespace_of_the_cache(
    client: httpx.Client, server: RunningServer
) -> None:
    generate(client, text="x", cache_salt="tenant", rid="salted", priority=3)
    request = next(r for r in server.engine.requests if r.rid == "salted")
    assert (request.cache_namespace, request.priority) == ("tenant", 3)
