"""The ``openai`` package against a server."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from fake_runtime import RunningServer, say, serve


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serve(say("Hello, wörld 🌍"), api_key="key") as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[openai.Client]:
    with openai.Client(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        yield client


def test_chat(client: openai.Client) -> None:
    answer = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "hi"}],
        temperature=0.3,
        max_tokens=128,
        top_p=0.95,
        presence_penalty=0.2,
        frequency_penalty=0.2,
        n=1,
        seed=42,
        logprobs=True,
        top_logprobs=1,
    )
    assert answer.choices[0].message.content == "Hello, wörld 🌍"
    assert answer.choices[0].logprobs is not None
    assert answer.usage is not None and answer.usage.completion_tokens > 0


def test_streamed_chat(client: openai.Client) -> None:
    stream = client.chat.completions.create(
        model="any",
        messages=[{"role": "user", "content": "Say this is a test"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, usage = "", None
    for chunk in stream:
        usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
    assert text == "Hello, wörld 🌍"
    assert usage is not None and usage.prompt_tokens > 0


def test_completion(client: openai.Client) -> None:
    answer = client.completions.create(
        model="any",
        prompt="Write a short story.",
        temperature=0.7,
        max_tokens=150,
        stop=["\n\n", "wör"],
        seed=123,
        logprobs=2,
    )
    assert answer.choices[0].text == "Hello, "
    assert answer.choices[0].finish_reason == "stop"


def test_streamed_completion(client: openai.Client) -> None:
    stream = client.completions.create(model="any", prompt="x", stream=True, max_tokens=100)
    assert "".join(chunk.choices[0].text for chunk in stream) == "Hello, wörld 🌍"


def test_models(client: openai.Client) -> None:
    name = client.models.list().data[0].id
    assert client.models.retrieve(name).id == "fake"


def test_errors_have_their_types(client: openai.Client, server: RunningServer) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="any", prompt="x", temperature=-1)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    with (
        openai.Client(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_leaving_a_stream_early_frees_the_engine(
    client: openai.Client, server: RunningServer
) -> None:
    for _ in client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "hi"}], stream=True
    ):
        break
    server.assert_idle()
