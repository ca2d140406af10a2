"""Limits of a busy server: how many may wait, and for how long."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fake_runtime import RunningServer, say, serve

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def post(server: RunningServer, path: str = "/generate", **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json={"text": "hi", **body}, timeout=30)


def fill(
    server: RunningServer, pool: ThreadPoolExecutor, count: int
) -> list[Future[httpx.Response]]:
    """Requests that wait, since the engine takes up none."""
    server.engine.paused = True
    waiting = [pool.submit(post, server) for _ in range(count)]
    server.wait_until(lambda: server.state.manager.num_queued == count)
    return waiting


def test_a_full_queue_refuses_with_429_until_there_is_room() -> None:
    with serve(max_queued_requests=2) as server, ThreadPoolExecutor() as pool:
        waiting = fill(server, pool, 2)
        refused = post(server)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert "max_queued_requests" in refused.json()["error"]["message"]
        server.on_loop(server.engine.resume)
        assert [future.result().status_code for future in waiting] == [200, 200]
        assert post(server).status_code == 200


def test_the_openai_error_of_a_full_queue() -> None:
    with serve(max_queued_requests=1) as server, ThreadPoolExecutor() as pool:
        fill(server, pool, 1)
        error = httpx.post(f"{server.url}/v1/chat/completions", json=CHAT).json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
        server.on_loop(server.engine.resume)


def test_running_requests_do_not_wait() -> None:
    with (
        serve(say("x" * 300, stop=False), step_seconds=0.01, max_queued_requests=1) as server,
        ThreadPoolExecutor() as pool,
    ):
        limit = {"sampling_params": {"max_new_tokens": 100}}
        first = pool.submit(post, server, **limit)
        server.wait_until(
            lambda: server.state.manager.num_sequences == 1 and not server.state.manager.num_queued
        )
        assert post(server, sampling_params={"max_new_tokens": 1}).status_code == 200
        assert not first.done()
        assert first.result().status_code == 200


def test_a_request_that_could_never_wait_is_wrong() -> None:
    with serve(max_queued_requests=2) as server:
        answer = post(server, text=["a", "b", "c"])
        assert answer.status_code == 400
        assert "3 sequences" in answer.json()["error"]["message"]


def test_nobody_is_left_in_the_queue() -> None:
    with serve(max_queued_requests=4) as server, ThreadPoolExecutor() as pool:
        waiting = fill(server, pool, 2)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/generate", json={"text": "a"}, timeout=0.1)
        assert post(server, timeout=0.01).status_code == 504
        assert post(server, text=1).status_code == 400
        server.on_loop(server.engine.resume)
        for future in waiting:
            future.result()
        server.assert_idle()
        assert server.state.manager.num_queued == 0


def test_a_full_queue_is_no_sick_engine() -> None:
    with serve(max_queued_requests=1, step_seconds=0.01) as server, ThreadPoolExecutor() as pool:
        waiting = fill(server, pool, 1)
        probe = pool.submit(httpx.get, f"{server.url}/health_generate")
        server.on_loop(server.engine.resume)
        assert probe.result().status_code == 200
        waiting[0].result()


@pytest.mark.parametrize("path", ["/generate", "/v1/completions", "/v1/chat/completions"])
def test_the_servers_timeout_holds_for_every_route(path: str) -> None:
    bodies = {"/generate": {"text": "hi"}, "/v1/completions": {"prompt": "hi"}}
    with serve(request_timeout=0.05) as server:
        server.engine.paused = True
        answer = httpx.post(server.url + path, json=bodies.get(path, CHAT), timeout=30)
        assert answer.status_code == 504
        message = answer.json()["error"]["message"]
        assert message == "the request was not finished within 0.05 seconds"
        server.assert_idle()
        assert len(server.engine.aborted) == 1


def test_the_shorter_of_two_timeouts_holds() -> None:
    with serve(request_timeout=20) as server:
        server.engine.paused = True
        assert "0.01 seconds" in post(server, timeout=0.01).text
    with serve(request_timeout=0.01) as server:
        server.engine.paused = True
        assert "0.01 seconds" in post(server, timeout=20).text


def test_a_request_that_is_fast_enough_is_left_alone() -> None:
    with serve() as server:
        assert post(server, timeout=20).json()["text"] == "hi"
        server.assert_idle()
        assert server.engine.aborted == []


def test_a_stream_that_takes_too_long_ends_with_an_error_event() -> None:
    with serve(say("x" * 400, stop=False), step_seconds=0.01) as server:
        limit = {"sampling_params": {"max_new_tokens": 400}}
        answer = post(server, stream=True, timeout=0.2, **limit)
        assert answer.status_code == 200
        *_, error, done = [line for line in answer.text.split("\n\n") if line]
        assert "0.2 seconds" in json.loads(error.removeprefix("data: "))["error"]["message"]
        assert done == "data: [DONE]"
        server.assert_idle()


def test_what_a_batch_has_in_time_it_keeps() -> None:
    with serve(say("x" * 400, stop=False), step_seconds=0.01) as server:
        answers = post(
            server,
            text=["a", "b"],
            sampling_params=[{"max_new_tokens": 1}, {"max_new_tokens": 400}],
            timeout=0.2,
        )
        first, second = answers.json()
        assert first["meta_info"]["finish_reason"]["type"] == "length"
        assert second["meta_info"]["finish_reason"]["status_code"] == 504


@pytest.mark.parametrize("value", [0, -1, True, "1", 1e12, [1]])
def test_wrong_timeouts_are_named(value: Any) -> None:
    with serve() as server:
        answer = post(server, timeout=value)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("timeout ")
