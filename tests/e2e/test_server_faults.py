"""What a server does when things go wrong: small pools, disconnects, dead engines."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e.servers import wait_until

PROMPTS = [
    f"{a} {b} and the capital of {c} is"
    for a, b, c in zip(
        ["Once upon a time", "The future of", "Hello, my name is", "List three", "My favourite"]
        * 13,
        ["a king", "AI", "Alice", "countries", "day", "number", "city"] * 10,
        ["France", "Japan", "Italy", "Kenya", "Peru", "Norway", "Egypt", "Chile", "India"] * 8,
        strict=False,
    )
][:64]


def pool_is_whole(server) -> bool:
    state = server.state()
    return (
        state["num_running_reqs"] == 0
        and state["num_waiting_reqs"] == 0
        and state["num_used_tokens"] == 0
    )


def test_64_requests_in_a_tiny_pool_answer_as_alone(launch):
    """Retraction happens, and every greedy answer equals the answer alone."""
    small = launch("--max-total-tokens", "500", "--schedule-conservativeness", "0.01")
    params = [
        {"temperature": 0, "max_new_tokens": 40 + (i * 7) % 180, "ignore_eos": True}
        for i in range(64)
    ]
    body = {"text": PROMPTS, "sampling_params": params}
    answers = httpx.post(f"{small.url}/generate", json=body, timeout=240).json()
    assert small.state()["retractions"] > 0
    wait_until(lambda: pool_is_whole(small), 10, "pool whole again")
    httpx.post(f"{small.url}/flush_cache")
    for prompt, wanted, answer in zip(PROMPTS, params, answers, strict=True):
        alone = small.generate(prompt, **wanted)
        assert alone["text"] == answer["text"]
        assert answer["meta_info"]["completion_tokens"] == wanted["max_new_tokens"]


def test_a_client_that_disconnects_frees_its_slots(launch):
    server = launch()
    body = {
        "text": "Once upon a time",
        "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
        "stream": True,
    }
    with httpx.stream("POST", f"{server.url}/generate", json=body, timeout=30) as answer:
        lines = answer.iter_lines()  # kept: when it goes, the connection goes
        next(lines)
        assert server.state()["num_running_reqs"] == 1
    wait_until(lambda: pool_is_whole(server), 1.0, "slots freed")


def test_a_non_streaming_client_that_disconnects_frees_its_slots(launch):
    server = launch()
    body = {
        "text": "Once upon a time",
        "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
    }
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/generate", json=body, timeout=0.3)
    wait_until(lambda: pool_is_whole(server), 5, "slots freed")


def test_a_killed_engine_gives_errors_and_an_exit(launch):
    server = launch()

    def ask(_: int) -> int | str:
        body = {
            "text": "Once upon a time",
            "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
        }
        try:
            return httpx.post(f"{server.url}/generate", json=body, timeout=30).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, i) for i in range(4)]
        wait_until(lambda: server.state()["num_running_reqs"] == 4, 20, "requests running")
        os.kill(server.engine_pid(), signal.SIGKILL)
        answers = [w.result(timeout=10) for w in waiting]
    assert all(a == 503 for a in answers), answers
    assert server.process.wait(10) != 0
    assert "signal 9" in server.log.read_text()


def test_a_stopped_server_takes_its_engine_along(launch):
    server = launch()
    engine = server.engine_pid()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(15)
    wait_until(lambda: not os.path.exists(f"/proc/{engine}"), 10, "engine gone")


def test_a_killed_server_takes_its_engine_along(launch):
    server = launch()
    engine = server.engine_pid()
    server.process.kill()
    server.process.wait(5)
    wait_until(lambda: not os.path.exists(f"/proc/{engine}"), 10, "engine gone")


def test_health_answers_while_a_long_prompt_is_computed(launch):
    server = launch()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(server.generate, "word " * 500, max_new_tokens=1)
        answered = 0
        while not long.done():
            assert httpx.get(f"{server.url}/health", timeout=30).status_code == 200
            answered += not long.done()
        assert long.result()["meta_info"]["completion_tokens"] == 1
    assert answered
