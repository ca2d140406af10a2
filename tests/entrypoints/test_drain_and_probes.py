"""Probes that tell the truth, and the way to the end of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import RunningServer, say, serve

from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.server_args import ServerArgs

PROBES = ("/health", "/ready", "/live", "/health_generate")


def statuses(get: Callable[[str], httpx.Response]) -> list[int]:
    return [get(path).status_code for path in PROBES]


def loading_server(**args: Any) -> Callable[..., httpx.Response]:
    """Requests to a server whose model is still being loaded."""
    app = create_app(Lifecycle(ServerArgs(model_path="fake", **args)))

    def request(method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as c:
                return await c.request(method, path, **options)

        return asyncio.run(send())

    return request


def test_probes_of_a_server_that_serves() -> None:
    with serve() as server:
        assert statuses(lambda path: httpx.get(server.url + path)) == [200] * 4
        assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}


def test_probes_of_a_server_that_loads() -> None:
    request = loading_server()
    assert statuses(lambda path: request("GET", path)) == [503, 503, 200, 503]
    assert request("GET", "/ready").json() == {"status": "loading"}


def test_a_server_that_loads_asks_for_patience() -> None:
    answer = loading_server()("POST", "/v1/completions", json={"prompt": "a"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["error"]["code"] == "loading"


def test_a_server_that_loads_asks_for_the_key_all_the_same() -> None:
    request = loading_server(api_key="key")
    assert request("POST", "/generate", json={"text": "a"}).status_code == 401
    assert request("GET", "/health").status_code == 503


def test_probes_of_a_server_whose_engine_is_dead() -> None:
    with serve() as server:
        server.on_loop(server.engine.die, "killed")
        server.wait_until(lambda: server.state.manager.dead_reason is not None)
        assert statuses(lambda path: httpx.get(server.url + path)) == [503] * 4
        assert httpx.get(f"{server.url}/live").json() == {"status": "dead"}


def test_probes_answer_while_the_engine_is_busy() -> None:
    with serve() as server, ThreadPoolExecutor() as pool:
        server.engine.paused = True
        waiting = pool.submit(httpx.post, f"{server.url}/generate", json={"text": "a"})
        server.wait_until(lambda: server.state.manager.num_sequences == 1)
        for path in ("/health", "/ready", "/live"):
            assert httpx.get(server.url + path).status_code == 200
        assert not waiting.done()
        server.on_loop(server.engine.resume)


def drain(server: RunningServer, timeout: float) -> bool:
    future = asyncio.run_coroutine_threadsafe(server.state.manager.drain(timeout), server.loop)
    return future.result(20)


def test_a_drain_lets_running_requests_end_and_refuses_others() -> None:
    with (
        serve(say("x" * 100, stop=False), step_seconds=0.01) as server,
        ThreadPoolExecutor() as pool,
    ):
        body = {"text": "a", "sampling_params": {"max_new_tokens": 100}}
        running = pool.submit(httpx.post, f"{server.url}/generate", json=body)
        server.wait_until(lambda: len(server.engine.requests) == 1)
        draining = pool.submit(drain, server, 20.0)
        server.wait_until(lambda: server.state.manager.draining)
        refused = httpx.post(f"{server.url}/generate", json=body)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert "shutting down" in refused.json()["error"]["message"]
        assert statuses(lambda path: httpx.get(server.url + path)) == [503, 503, 200, 503]
        assert httpx.get(f"{server.url}/get_model_info").status_code == 200
        assert draining.result() is True
        assert running.result().json()["text"] == "x" * 100


def test_a_drain_ends_requests_that_take_too_long() -> None:
    with serve() as server, ThreadPoolExecutor() as pool:
        server.engine.paused = True
        running = pool.submit(httpx.post, f"{server.url}/generate", json={"text": "a"})
        server.wait_until(lambda: len(server.engine.requests) == 1)
        assert drain(server, 0.05) is False
        assert running.result().status_code == 503
        server.assert_idle()
        assert len(server.engine.aborted) == 1


def test_a_drain_of_an_idle_server_takes_no_time() -> None:
    with serve() as server:
        assert drain(server, 1000.0) is True


def test_a_request_that_is_being_tokenized_is_no_running_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes out of the tokenizer after the drain began is refused, not lost."""
    from sglang.srt.tokenizer.tokenizer import Tokenizer

    original = Tokenizer.encode_batch
    with serve() as server:

        def slow(self: Tokenizer, *args: Any) -> Any:
            assert drain(server, 0.0)
            return original(self, *args)

        monkeypatch.setattr(Tokenizer, "encode_batch", slow)
        answer = httpx.post(f"{server.url}/generate", json={"text": "a"})
        assert answer.status_code == 503
        assert server.engine.requests == []
