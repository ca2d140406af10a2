"""``return_hidden_states``: over HTTP as lists of numbers, offline as arrays."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest
from fake_runtime import (
    EOS,
    FakeEngine,
    RunningServer,
    encode_text,
    make_state,
    repeat_prompt,
    say,
    serve,
)

from sglang.srt.entrypoints.engine import Engine
from sglang.srt.entrypoints.hidden_states import json_pieces
from sglang.srt.entrypoints.state import ServerState


def generate(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/generate", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def states(prompt: str, answer: list[int]) -> list[Any]:
    """What the fake engine says: position and id of each token, the last one left out."""
    numbers = [[float(i), float(t)] for i, t in enumerate(encode_text(prompt) + answer[:-1])]
    return [numbers[: len(prompt)], *numbers[len(prompt) :]]


HI = states("hi", [*encode_text("hi"), EOS])


def test_a_list_for_the_prompt_and_one_for_each_token_that_was_computed(
    client: httpx.Client,
) -> None:
    answer = generate(client, text="hi", return_hidden_states=True)
    assert answer["meta_info"]["hidden_states"] == HI


def test_nobody_else_gets_any(client: httpx.Client) -> None:
    assert "hidden_states" not in generate(client, text="hi")["meta_info"]


def test_each_prompt_of_a_batch_may_want_them(client: httpx.Client) -> None:
    first, second = generate(client, text=["no", "hi"], return_hidden_states=[False, True])
    assert "hidden_states" not in first["meta_info"]
    assert second["meta_info"]["hidden_states"] == HI
    assert [first["text"], second["text"]] == ["no", "hi"]


def test_a_stream_has_them_in_its_last_chunk(client: httpx.Client) -> None:
    body = {"text": ["hi", "hi"], "return_hidden_states": True, "stream": True}
    with client.stream("POST", "/generate", json=body) as response:
        events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert {chunk["index"] for chunk in chunks} == {0, 1}
    for chunk in chunks:
        meta = chunk["meta_info"]
        assert meta.get("hidden_states") == (HI if meta["finish_reason"] else None)


@pytest.mark.parametrize("tokens_per_step", [1, 3])
def test_a_stop_string_ends_them_too(tokens_per_step: int) -> None:
    with serve(say("abcdefgh")) as server, httpx.Client(base_url=server.url) as client:
        server.engine.tokens_per_step = tokens_per_step
        sampling = {"stop": "d"}
        meta = generate(client, text="x", return_hidden_states=True, sampling_params=sampling)[
            "meta_info"
        ]
        assert meta["completion_tokens"] == 4
        assert meta["hidden_states"] == states("x", encode_text("abcd"))


def test_no_new_tokens_leave_the_prompt(client: httpx.Client) -> None:
    sampling = {"max_new_tokens": 0}
    answer = generate(client, text="hi", return_hidden_states=True, sampling_params=sampling)
    assert answer["meta_info"]["hidden_states"] == HI[:1]


def test_the_option_is_for_native_requests_that_do_not_say() -> None:
    with (
        serve(return_hidden_states=True) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert generate(client, text="hi")["meta_info"]["hidden_states"] == HI
        refused = generate(client, text="hi", return_hidden_states=False)
        assert "hidden_states" not in refused["meta_info"]
        client.post("/v1/completions", json={"model": "fake", "prompt": "hi"}).raise_for_status()
        assert [each.return_hidden_states for each in server.engine.requests] == [
            True,
            False,
            False,
        ]


def test_too_many_numbers_are_refused() -> None:
    config = {"hf_config": {"hidden_size": 1 << 24}}
    with serve(config=config) as server, httpx.Client(base_url=server.url) as client:
        body = {"text": "hello", "return_hidden_states": True}
        response = client.post("/generate", json={**body, "sampling_params": {"max_new_tokens": 4}})
        assert response.status_code == 400
        assert response.json()["error"]["message"] == (
            "return_hidden_states: the sequences have up to 9 tokens together; with 16777216 "
            "numbers a token, at most 8 may be returned"
        )
        generate(client, **body, sampling_params={"max_new_tokens": 3})


@pytest.mark.parametrize("shape", [(0, 3), (1, 4), (7, 10_000), (70_000, 1), (2, 40_000)])
def test_pieces_make_the_whole(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    answers = [
        {"text": "\0a", "meta_info": {"hidden_states": [values, *values[:2]]}, "index": 0},
        {"text": "b", "meta_info": {}},
        {"text": "c", "meta_info": {"hidden_states": []}},
    ]

    async def join() -> bytes:
        return b"".join([piece async for piece in json_pieces(answers)])

    read = json.loads(asyncio.run(join()))
    assert [answer["text"] for answer in read] == ["\0a", "b", "c"]
    prompt, *others = read[0]["meta_info"]["hidden_states"]
    assert np.array_equal(np.array(prompt, dtype=np.float32).reshape(shape), values)
    assert np.array_equal(np.array(others, dtype=np.float32).reshape(-1, shape[1]), values[:2])
    assert read[2]["meta_info"]["hidden_states"] == []


def test_offline_they_are_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start_runtime(args: Any, metrics: Any = None) -> ServerState:
        return make_state(FakeEngine(repeat_prompt), return_hidden_states=True)

    monkeypatch.setattr("sglang.srt.entrypoints.engine.start_runtime", start_runtime)
    with Engine(model_path="fake", return_hidden_states=True) as llm:
        output: Any = llm.generate("hi")
    arrays = output["meta_info"]["hidden_states"]
    assert [array.shape for array in arrays] == [(2, 2), (2,), (2,)]
    assert all(array.dtype == np.float32 and array.flags.writeable for array in arrays)
    assert [array.tolist() for array in arrays] == HI


def test_nothing_is_left_of_a_request(server: RunningServer, client: httpx.Client) -> None:
    generate(client, text="hi", return_hidden_states=True)
    server.assert_idle()
