"""Embeddings and scores over HTTP: OpenAI's route, the native ones, and who may ask what."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fake_runtime import (
    CONTEXT_LENGTH,
    EMBEDDING_SIZE,
    RunningServer,
    encode_text,
    letter_counts,
    serve,
)

from sglang.srt.configs.pooling_config import PoolingConfig
from sglang.srt.managers.io_struct import FinishReason, TokenizedRequest

EMBEDDING = {"pooling": PoolingConfig(), "hf_config": {"hidden_size": EMBEDDING_SIZE}}
REWARD = {"pooling": PoolingConfig(num_scores=1), "hf_config": {"hidden_size": EMBEDDING_SIZE}}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(config=EMBEDDING, enable_cache_report=True) as running:
        yield running


@pytest.fixture(scope="module")
def reward_client() -> Iterator[httpx.Client]:
    """Of a server whose model scores a text by its length."""
    with serve(config=REWARD) as running:
        running.engine.embed = lambda message: [float(len(message.prompt()))]
        with httpx.Client(base_url=running.url, timeout=30, trust_env=False) as client:
            yield client


@pytest.fixture(scope="module")
def generating_client() -> Iterator[httpx.Client]:
    with serve() as running, httpx.Client(base_url=running.url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def user(server: RunningServer) -> openai.Client:
    return openai.Client(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def vector(text: str) -> np.ndarray:
    ids = np.array(encode_text(text), dtype="<i4").tobytes()
    return np.array(letter_counts(TokenizedRequest("x", ids, None)))


def error_of(response: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


# --------------------------------------------------------------------------------------
# /v1/embeddings
# --------------------------------------------------------------------------------------


def test_the_openai_client_gets_an_embedding(user: openai.Client) -> None:
    answer = user.embeddings.create(model="any", input="hello")
    assert answer.object == "list" and answer.model == "fake"
    assert [item.index for item in answer.data] == [0]
    assert np.allclose(answer.data[0].embedding, vector("hello"), atol=1e-6)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (5, 5)


@pytest.mark.parametrize(
    "given",
    [
        ["hello", "you"],
        [encode_text("hello"), encode_text("you")],
    ],
)
def test_several_inputs_in_their_order(user: openai.Client, given: Any) -> None:
    answer = user.embeddings.create(model="any", input=given)
    assert [item.index for item in answer.data] == [0, 1]
    assert np.allclose(answer.data[0].embedding, vector("hello"), atol=1e-6)
    assert np.allclose(answer.data[1].embedding, vector("you"), atol=1e-6)
    assert answer.usage.prompt_tokens == 8


def test_a_list_of_token_ids_is_one_input(user: openai.Client) -> None:
    answer = user.embeddings.create(model="any", input=encode_text("hello"))
    assert np.allclose(answer.data[0].embedding, vector("hello"), atol=1e-6)


def test_both_encodings_hold_the_same_numbers(client: httpx.Client) -> None:
    bodies = [{"input": "hello", "encoding_format": form} for form in ("float", "base64")]
    plain, packed = (
        client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"] for body in bodies
    )
    assert np.array_equal(np.float32(plain), np.frombuffer(base64.b64decode(packed), dtype="<f4"))


def test_dimensions_shorten_and_normalise(user: openai.Client) -> None:
    found = user.embeddings.create(model="any", input="hello", dimensions=5).data[0].embedding
    head = vector("hello")[:5]
    assert np.allclose(found, head / np.linalg.norm(head), atol=1e-6)


def test_usage_reports_cached_tokens_if_asked_to(client: httpx.Client) -> None:
    usage = client.post("/v1/embeddings", json={"input": "hello"}).json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "'input' is missing", "input"),
        ({"input": ""}, "not empty", "input"),
        ({"input": []}, "not empty", "input"),
        ({"input": 5}, "input must be", "input"),
        ({"input": ["a", ""]}, "input[1] is empty", "input[1]"),
        ({"input": ["a", 1]}, "input[1] must be a string", "input[1]"),
        ({"input": [1, "a"]}, "input[1] must be an integer", "input[1]"),
        ({"input": [[1], []]}, "input[1] is empty", "input[1]"),
        ({"input": [100000]}, "must be in [0, 260)", "input"),
        ({"input": "a", "dimensions": 0}, "must be in [1, 8]", "dimensions"),
        ({"input": "a", "dimensions": 9}, "must be in [1, 8]", "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", "encoding_format"),
        ({"input": "a", "stream": True}, "unknown field", "stream"),
        ({"input": "\ud800"}, "surrogate", None),
    ],
)  # fmt: skip
def test_bad_input(
    client: httpx.Client, body: dict[str, Any], message: str, param: str | None
) -> None:
    if body.get("input") == "\ud800":
        response = client.post("/v1/embeddings", content=b'{"input": "\\ud800"}')
        assert response.status_code == 400
        return
    error = error_of(client.post("/v1/embeddings", json=body))
    assert message in error["message"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_an_input_may_fill_the_context(client: httpx.Client) -> None:
    assert client.post("/v1/embeddings", json={"input": "x" * CONTEXT_LENGTH}).status_code == 200
    error = error_of(client.post("/v1/embeddings", json={"input": "x" * (CONTEXT_LENGTH + 1)}))
    assert f"The input ({CONTEXT_LENGTH + 1} tokens)" in error["message"]
    assert f"at most {CONTEXT_LENGTH} can be embedded" in error["message"]


def test_a_failure_of_one_input_fails_the_request(
    server: RunningServer, client: httpx.Client
) -> None:
    server.engine.failures["bad"] = FinishReason("abort", None, "not finite", 500)
    assert error_of(client.post("/v1/embeddings", json={"input": ["a", "bad"]}), 500)
    server.assert_idle()


def test_a_client_that_leaves_frees_the_engine(server: RunningServer, client: httpx.Client) -> None:
    server.engine.paused = True
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/embeddings", json={"input": ["a", "b"]}, timeout=0.3)
    server.wait_until(lambda: not server.engine.running)
    server.engine.paused = False
    server.assert_idle()


def test_lines_of_a_batch_can_be_embedded(storage_folder: Any) -> None:
    line = b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"input": "hi"}}'
    with serve(config=EMBEDDING, file_storage_pth=str(storage_folder)) as running:
        user = openai.Client(base_url=f"{running.url}/v1", api_key="none")
        file = user.files.create(file=("in.jsonl", line), purpose="batch")
        batch = user.batches.create(
            input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
        )
        deadline = time.monotonic() + 30
        while batch.status != "completed" and time.monotonic() < deadline:
            time.sleep(0.02)
            batch = user.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        answer = user.files.content(batch.output_file_id).text
    assert '"embedding"' in answer


# --------------------------------------------------------------------------------------
# /encode and /classify
# --------------------------------------------------------------------------------------


def test_encode_answers_one_text_with_an_object(client: httpx.Client) -> None:
    answer = client.post("/encode", json={"model": "any", "text": "hello", "rid": "r"}).json()
    assert np.allclose(answer["embedding"], vector("hello"), atol=1e-6)
    assert answer["meta_info"] == {
        "id": "r",
        "finish_reason": {"type": "length", "length": 0},
        "prompt_tokens": 5,
        "cached_tokens": 0,
    }


@pytest.mark.parametrize("body", [{"text": ["a"]}, {"input_ids": [[1, 2]]}])
def test_encode_answers_a_list_with_a_list(client: httpx.Client, body: dict[str, Any]) -> None:
    assert len(client.post("/encode", json=body).json()) == 1


def test_encode_takes_token_ids_and_dimensions(client: httpx.Client) -> None:
    body = {"input_ids": encode_text("hello"), "dimensions": 3}
    assert len(client.post("/encode", json=body).json()["embedding"]) == 3


def test_classify_gives_raw_scores(reward_client: httpx.Client) -> None:
    answers = reward_client.post("/classify", json={"model": "m", "text": ["ab", "abc"]}).json()
    assert [answer["embedding"] for answer in answers] == [[2.0], [3.0]]


def test_a_model_is_a_name(client: httpx.Client) -> None:
    answer = client.post("/encode", json={"model": {}, "text": "hello"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "model must be a string, got a dict"


def test_a_reward_model_can_be_asked_to_encode(reward_client: httpx.Client) -> None:
    assert reward_client.post("/encode", json={"text": "ab"}).json()["embedding"] == [2.0]


def test_scores_have_no_dimensions(reward_client: httpx.Client) -> None:
    error = error_of(reward_client.post("/encode", json={"text": "ab", "dimensions": 1}))
    assert "no dimensions" in error["message"]


def test_an_embedding_model_does_not_classify(client: httpx.Client) -> None:
    assert "/encode" in error_of(client.post("/classify", json={"text": "a"}))["message"]


def test_unknown_fields_are_named(client: httpx.Client) -> None:
    error = error_of(client.post("/encode", json={"text": "a", "stream": True}))
    assert error["message"] == "unknown field 'stream'"


# --------------------------------------------------------------------------------------
# /v1/rerank and /v1/score
# --------------------------------------------------------------------------------------

DOCUMENTS = ["zzz", "hello", {"text": "hell"}]


def test_rerank_orders_by_cosine(client: httpx.Client) -> None:
    answer = client.post("/v1/rerank", json={"query": "hello", "documents": DOCUMENTS}).json()
    results = answer["results"]
    assert [each["index"] for each in results] == [1, 2, 0]
    assert [each["document"]["text"] for each in results] == ["hello", "hell", "zzz"]
    expected = [vector("hello") @ vector(text) for text in ("hello", "hell", "zzz")]
    assert np.allclose([each["relevance_score"] for each in results], expected, atol=1e-6)
    assert answer["usage"]["total_tokens"] == len("hello" + "zzz" + "hell")


def test_rerank_gives_the_first_of_them_without_their_text(client: httpx.Client) -> None:
    body = {"query": "hello", "documents": DOCUMENTS, "top_n": 1, "return_documents": False}
    (result,) = client.post("/v1/rerank", json=body).json()["results"]
    assert result.keys() == {"index", "relevance_score"} and result["index"] == 1


def test_a_cross_encoder_reads_both_texts_at_once(reward_client: httpx.Client) -> None:
    body = {"query": "q", "documents": ["a", "abc"]}
    answer = reward_client.post("/v1/rerank", json=body).json()
    assert [each["index"] for each in answer["results"]] == [1, 0]
    expected = [1 / (1 + np.exp(-length)) for length in (4, 2)]
    found = [each["relevance_score"] for each in answer["results"]]
    assert np.allclose(found, expected)
    assert answer["usage"]["total_tokens"] == 6


@pytest.mark.parametrize(
    ("first", "second", "lengths"),
    [
        ("a", "bc", [3]),
        ("a", ["bc", "d"], [3, 2]),
        (["a", "bc"], "d", [2, 3]),
        (["a", "bc"], ["d", "ef"], [2, 4]),
    ],
)
def test_score_pairs_texts(
    reward_client: httpx.Client, first: Any, second: Any, lengths: list[int]
) -> None:
    answer = reward_client.post("/v1/score", json={"text_1": first, "text_2": second}).json()
    assert [each["index"] for each in answer["data"]] == list(range(len(lengths)))
    expected = [1 / (1 + np.exp(-length)) for length in lengths]
    assert np.allclose([each["score"] for each in answer["data"]], expected)


def test_a_checkpoint_may_want_its_score_as_it_is() -> None:
    config = {**REWARD, "pooling": PoolingConfig(num_scores=1, has_sigmoid=False)}
    with serve(config=config) as running:
        running.engine.embed = lambda message: [7.5]
        answer = httpx.post(f"{running.url}/v1/score", json={"text_1": "a", "text_2": "b"})
    assert answer.json()["data"][0]["score"] == 7.5


def test_several_scores_cannot_be_compared() -> None:
    with serve(config={**REWARD, "pooling": PoolingConfig(num_scores=3)}) as running:
        answer = httpx.post(f"{running.url}/v1/rerank", json={"query": "a", "documents": ["b"]})
    assert "gives 3 scores" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/v1/rerank", {"documents": ["a"]}, "'query' is missing"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": [{"title": "x"}]}, "documents[0]"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("/v1/score", {"text_1": "a", "text_2": []}, "must not be empty"),
        ("/v1/score", {"text_1": ["a", "b", "c"], "text_2": ["a", "b"]}, "text_1 has 3 texts"),
    ],
)
def test_bad_pairs(client: httpx.Client, path: str, body: dict[str, Any], message: str) -> None:
    assert message in error_of(client.post(path, json=body))["message"]


# --------------------------------------------------------------------------------------
# The wrong kind of model
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"text": "a"}),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ],
)
def test_an_embedding_server_generates_nothing(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    assert "its model generates nothing" in error_of(client.post(path, json=body))["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/encode", {"text": "a"}),
        ("/classify", {"text": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("/v1/score", {"text_1": "a", "text_2": "b"}),
    ],
)
def test_a_generating_server_gives_no_embeddings(
    generating_client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    error = error_of(generating_client.post(path, json=body))
    assert "this server's model generates; start one with --is-embedding" in error["message"]


def test_the_server_says_what_its_model_is(client: httpx.Client) -> None:
    assert client.get("/get_model_info").json()["is_generation"] is False
    assert client.get("/health_generate").status_code == 200


def test_prompt_tokens_are_counted() -> None:
    with serve(config=EMBEDDING, enable_metrics=True) as running:
        httpx.post(f"{running.url}/v1/embeddings", json={"input": ["hello", "you"]})
        page = httpx.get(f"{running.url}/metrics").text
    assert 'sglang:prompt_tokens_total{model_name="fake"} 8.0' in page
    assert 'sglang:num_requests_total{finish_reason="length",model_name="fake"} 2.0' in page


def test_without_a_tokenizer_token_ids_are_embedded() -> None:
    with serve(config=EMBEDDING, tokenizer=False) as running:
        found = httpx.post(f"{running.url}/encode", json={"input_ids": [1, 2]}).json()
        error = error_of(httpx.post(f"{running.url}/encode", json={"text": "a"}))
    assert len(found["embedding"]) == EMBEDDING_SIZE
    assert "--skip-tokenizer-init" in error["message"]


def test_long_inputs_are_cut_if_the_server_may() -> None:
    with serve(config=EMBEDDING, allow_auto_truncate=True) as running:
        answer = httpx.post(f"{running.url}/encode", json={"text": "x" * 1000}).json()
    assert answer["meta_info"]["prompt_tokens"] == CONTEXT_LENGTH
