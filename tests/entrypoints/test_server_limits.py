"""What a hostile or clumsy client cannot do to the server."""

from __future__ import annotations

import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import RunningServer, serve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sglang.srt.entrypoints import http_protocol
from sglang.srt.entrypoints.http_protocol import BoundedHttpProtocol
from sglang.srt.entrypoints.http_server import launch_server
from sglang.srt.entrypoints.listener import bind, warn_if_open
from sglang.srt.server_args import ServerArgs
from sglang.srt.tokenizer.chat_template import ChatTemplate
from sglang.srt.tokenizer.tokenizer import Tokenizer

ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["", "a", -1, 0, 1, 2, 1e308, "auto", "none"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NATIVE_FIELDS = [
    *("text", "input_ids", "sampling_params", "rid", "return_logprob", "logprob_start_len"),
    *("top_logprobs_num", "return_text_in_logprobs", "stream", "log_metrics", "modalities"),
    *("lora_path", "session_params", "custom_logit_processor", "priority", "cache_salt"),
    *("input_embeds", "image_data", "return_hidden_states"),
]
SAMPLING_FIELDS = [
    *("n", "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty"),
    *("repetition_penalty", "logit_bias", "seed", "stop", "stop_token_ids", "ignore_eos"),
    *("skip_special_tokens", "spaces_between_special_tokens"),
]
OPENAI_FIELDS = [
    *SAMPLING_FIELDS,
    *("model", "stream", "stream_options", "response_format", "return_token_ids", "min_tokens"),
    *("max_tokens", "rid", "priority", "cache_salt", "user", "logprobs"),
]
CHAT_FIELDS = [
    *("messages", "max_completion_tokens", "top_logprobs", "tools", "tool_choice"),
    *("add_generation_prompt", "continue_final_message", "chat_template_kwargs"),
]
ROUTES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("/generate", {"text": "hi"}, NATIVE_FIELDS),
    ("/v1/completions", {"prompt": "hi"}, [*OPENAI_FIELDS, "prompt", "best_of", "echo"]),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3},
        OPENAI_FIELDS + CHAT_FIELDS,
    ),
]


@pytest.mark.parametrize(("path", "body", "fields"), ROUTES)
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_value_of_any_field_gets_an_answer(
    client: httpx.Client,
    server: RunningServer,
    path: str,
    body: dict[str, Any],
    fields: list[str],
    data: st.DataObject,
) -> None:
    changed = data.draw(st.dictionaries(st.sampled_from(fields), ANY_JSON, max_size=2))
    if path == "/generate" and data.draw(st.booleans()):
        own = st.dictionaries(st.sampled_from([*SAMPLING_FIELDS, "max_new_tokens"]), ANY_JSON)
        changed["sampling_params"] = data.draw(own)
    response = client.post(path, content=json.dumps({**body, **changed}))
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert response.json()["error"]["message"]
    server.assert_idle()


def test_slow_tokenization_does_not_delay_others(
    server: RunningServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    original = Tokenizer.encode_batch

    def slow(self: Tokenizer, *args: Any) -> Any:
        assert may_go_on.wait(20)
        return original(self, *args)

    monkeypatch.setattr(Tokenizer, "encode_batch", slow)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{server.url}/generate", json={"text": "hi"})
        assert client.get("/health").status_code == 200
        ids = client.post("/generate", json={"input_ids": [5]})
        assert ids.status_code == 200
        may_go_on.set()
        assert waiting.result().status_code == 200


def test_a_slow_chat_template_does_not_delay_others(
    server: RunningServer, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    original = ChatTemplate.render

    def slow(self: ChatTemplate, *args: Any, **options: Any) -> str:
        assert may_go_on.wait(20)
        return original(self, *args, **options)

    monkeypatch.setattr(ChatTemplate, "render", slow)
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(httpx.post, f"{server.url}/v1/chat/completions", json=body)
        assert client.get("/health").status_code == 200
        may_go_on.set()
        assert waiting.result().status_code == 200


def connect(server: RunningServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    data = b""
    try:
        while part := connection.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nX: " + b"x" * 100_000,
        b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"GET /" + b"x" * 100_000,
    ],
)
def test_a_head_without_end_closes_the_connection(head: bytes) -> None:
    with serve(http=BoundedHttpProtocol) as server, connect(server) as connection:
        connection.sendall(head)
        answer = read_all(connection)  # empty if the reset overtook it
        assert answer == b"" or b"too long" in answer
        assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.parametrize("head", [b"", b"GET /health HTTP/1.1\r\n"])
def test_a_head_that_does_not_come_closes_the_connection(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.05)
    with serve(http=BoundedHttpProtocol) as server, connect(server) as connection:
        connection.sendall(head)
        assert read_all(connection) == b""


def test_a_large_body_and_many_requests_on_a_connection_are_no_long_head() -> None:
    with serve(http=BoundedHttpProtocol) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            response = client.post("/generate", json={"text": "x" * 200_000})
            assert response.status_code == 400  # too long for the context, not for the server
            assert "tokens" in response.json()["error"]["message"]


def test_a_body_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.srt.entrypoints.body.READ_SECONDS", 0.05)
    with serve() as server, connect(server) as connection:
        connection.sendall(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_too_many_sequences_are_refused_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sglang.srt.managers.tokenizer_manager.MAX_SEQUENCES", 2)
    with serve() as server, httpx.Client(base_url=server.url) as client:
        refused = client.post("/generate", json={"text": ["a", "b", "c"]})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"]
        assert client.post("/generate", json={"text": ["a", "b"]}).status_code == 200


def test_one_request_cannot_ask_for_too_many_sequences(client: httpx.Client) -> None:
    body = {"input_ids": [[1]] * 1000, "sampling_params": {"n": 100}}
    response = client.post("/generate", json=body)
    assert response.status_code == 400
    assert "100000" in response.json()["error"]["message"]


def test_only_the_served_name_with_strict_names() -> None:
    with (
        serve(strict_model_name=True) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.post("/v1/completions", json={"prompt": "a"}).status_code == 200
        named = {"prompt": "a", "model": "fake"}
        assert client.post("/v1/completions", json=named).status_code == 200
        user = [{"role": "user", "content": "a"}]
        for path, body in (
            ("/v1/completions", {"prompt": "a"}),
            ("/v1/chat/completions", {"messages": user}),
            ("/v1/responses", {"input": "a"}),
            ("/tokenize", {"prompt": "a"}),
        ):
            other = client.post(path, json={**body, "model": "gpt"})
            assert other.status_code == 404
            assert "the model 'gpt' does not exist" in other.json()["error"]["message"]


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: "):
            bind("127.0.0.1", port)


def test_a_wrong_start_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SystemExit) as exit_:
        launch_server(ServerArgs(model_path="/no/such/folder", port=port))
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith("error: model path '/no/such/folder'")


@pytest.mark.parametrize(
    ("host", "key", "warned"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", "key", False),
    ],
)
def test_an_open_server_is_warned_about(
    host: str, key: str | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_if_open(ServerArgs(model_path="fake", host=host, api_key=key))
    assert ("everyone" in caplog.text) == warned
