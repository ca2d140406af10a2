"""Clients that go away, requests that the engine gives up, and an engine that dies."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import RunningServer, say, serve

from sglang.srt.managers.io_struct import FinishReason

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/generate", {"text": "hi"}),
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"prompt": "hi"}),
]


def send_and_leave(server: RunningServer, path: str, body: dict[str, Any], wait: Any) -> None:
    """Send a request over a plain socket, wait, and close the connection."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + content)
        wait(connection)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_a_client_that_leaves_early_frees_the_engine(
    path: str, body: dict[str, Any], streamed: bool
) -> None:
    with serve() as server:
        server.engine.paused = True

        def wait(connection: socket.socket) -> None:
            server.wait_until(lambda: len(server.engine.requests) == 2)

        body = {**body, "stream": streamed}
        if path == "/generate":
            body["sampling_params"] = {"n": 2}
        else:
            body["n"] = 2
        send_and_leave(server, path, body, wait)
        server.assert_idle()
        assert len(server.engine.aborted) == 2


@pytest.mark.parametrize(("path", "body"), REQUESTS)
def test_a_client_that_leaves_in_the_middle_of_a_stream_frees_the_engine(
    path: str, body: dict[str, Any]
) -> None:
    with serve(say("x" * 500, stop=False), step_seconds=0.01) as server:
        limit = {"sampling_params": {"max_new_tokens": 400}}
        more = limit if path == "/generate" else {"max_tokens": 400}
        send_and_leave(server, path, {**body, **more, "stream": True}, lambda conn: conn.recv(1000))
        server.assert_idle()
        assert len(server.engine.aborted) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_an_engine_error_before_the_first_token_is_a_status(streamed: bool) -> None:
    with serve() as server, httpx.Client(base_url=server.url) as client:
        server.engine.failures["bad"] = FinishReason("abort", None, "no memory", 500)
        body = {"stream": streamed}
        native = client.post("/generate", json={"text": "bad", **body})
        assert (native.status_code, native.json()) == (500, {"error": {"message": "no memory"}})
        openai = client.post("/v1/completions", json={"prompt": "bad", **body})
        assert (openai.status_code, openai.json()["error"]["message"]) == (500, "no memory")
        server.assert_idle()


def test_an_error_of_one_prompt_spares_the_others_of_a_native_batch() -> None:
    with serve() as server, httpx.Client(base_url=server.url) as client:
        server.engine.failures["bad"] = FinishReason("abort", None, "no memory", 500)
        good, bad = client.post("/generate", json={"text": ["good", "bad"]}).json()
        assert good["text"] == "good"
        assert bad["meta_info"]["finish_reason"] == {
            "type": "abort",
            "message": "no memory",
            "status_code": 500,
        }


def test_when_the_engine_dies_everybody_is_told_at_once() -> None:
    deaths: list[str] = []
    with (
        serve(on_engine_death=deaths.append) as server,
        ThreadPoolExecutor() as pool,
        httpx.Client(base_url=server.url) as client,
    ):
        server.engine.paused = True
        waiting = [
            pool.submit(httpx.post, server.url + path, json={**body, "stream": streamed})
            for path, body in REQUESTS
            for streamed in (False, True)
        ]
        server.wait_until(lambda: len(server.engine.requests) == len(waiting))
        server.on_loop(server.engine.die, "killed by signal 9")
        for future in waiting:
            response = future.result()
            assert response.status_code == 503
            assert "killed by signal 9" in response.json()["error"]["message"]
        assert deaths == ["killed by signal 9"]
        assert client.get("/health").status_code == 503
        assert client.get("/health_generate").status_code == 503
        assert client.get("/get_server_info").status_code == 503
        for path, body in REQUESTS:
            assert client.post(path, json=body).status_code == 503
        assert client.get("/v1/models").status_code == 200


def test_death_in_the_middle_of_a_stream_is_an_event() -> None:
    with (
        serve(say("x" * 400, stop=False), step_seconds=0.01) as server,
        httpx.Client(base_url=server.url) as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response,
    ):
        assert response.status_code == 200
        lines = (line for line in response.iter_lines() if line)
        next(lines)
        server.on_loop(server.engine.die, "killed")
        *_, error, done = lines
        assert json.loads(error.removeprefix("data: "))["error"]["type"] == (
            "service_unavailable_error"
        )
        assert done == "data: [DONE]"


def test_a_defect_while_decoding_ends_that_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server, httpx.Client(base_url=server.url) as client:

        def broken(self: Any, output: Any) -> bool:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr("sglang.srt.managers.request_state.SequenceState.absorb", broken)
            response = client.post("/generate", json={"text": "x"})
            assert response.status_code == 500
            assert "ZeroDivision" not in response.text
        assert client.post("/generate", json={"text": "x"}).json()["text"] == "x"
        server.assert_idle()
