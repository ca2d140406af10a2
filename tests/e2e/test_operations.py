"""A real server from its start to its end: probes, metrics, logs, priorities, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.servers import Server, free_port, start_server, stop_server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs one request at a time and tells everything."""
    options = "--max-running-requests 1 --enable-metrics --log-format json --decode-log-interval 5"
    log = tmp_path_factory.mktemp("server") / "server.log"
    running = start_server(log, *options.split(), "--show-time-cost")
    yield running
    stop_server(running)


def ask(server: Server, count: int, **fields: Any) -> httpx.Response:
    params = {"max_new_tokens": count, "ignore_eos": True, "temperature": 0}
    body = {"text": "Once upon a time", "sampling_params": params, **fields}
    return httpx.post(f"{server.url}/generate", json=body, timeout=120)


def metric(server: Server, name: str) -> float:
    page = httpx.get(f"{server.url}/metrics", timeout=30).text
    (found,) = re.findall(rf'^sglang:{name}{{model_name="demo"}} (.*)$', page, re.MULTILINE)
    return float(found)


def messages(server: Server) -> list[str]:
    """What the lines of the log say, those of both processes."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line)["message"] for line in lines]


def test_metrics_agree_with_answers(server: Server) -> None:
    names = ("prompt_tokens_total", "generation_tokens_total", "num_steps_total")
    before = {name: metric(server, name) for name in names}
    meta = ask(server, 20).json()["meta_info"]
    after = {name: metric(server, name) - before[name] for name in names}
    assert after["prompt_tokens_total"] == meta["prompt_tokens"]
    assert after["generation_tokens_total"] == meta["completion_tokens"] == 20
    assert after["num_steps_total"] == 20


def test_gauges_tell_what_is_running_and_waiting(server: Server) -> None:
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(ask, server, 400) for _ in range(3)]
        wait_until(lambda: metric(server, "num_queue_reqs") == 2, 30, "two requests wait")
        assert metric(server, "num_running_reqs") == 1
        assert metric(server, "token_usage") > 0
        assert metric(server, "gen_throughput") > 0
        for answer in answers:
            answer.result()
    wait_until(lambda: metric(server, "num_running_reqs") == 0, 10, "idle")
    assert metric(server, "gen_throughput") == 0
    assert metric(server, "num_used_tokens") == 0
    assert metric(server, "cache_hit_rate") > 0
    # The last of them waited for two others.
    assert metric(server, "queue_time_seconds_sum") > metric(
        server, "time_per_output_token_seconds_sum"
    )


def test_the_log_has_the_documented_lines(server: Server) -> None:
    ask(server, 20)
    number, real = r"\d+", r"\d+\.\d\d"
    decode = (
        rf"Decode batch\. #running-req: {number}, #token: {number}, token usage: {real}, "
        rf"gen throughput \(token/s\): {real}, #queue-req: {number}"
    )
    prefill = (
        rf"Prefill batch\. #new-seq: {number}, #new-token: {number}, #cached-token: {number}, "
        rf"token usage: {real}, #running-req: {number}, #queue-req: {number}"
    )
    times = rf"Time cost\. #step: 5, step: {real} ms, longest step: {real} ms, .*"
    for pattern in (decode, prefill, times):
        found = [line for line in messages(server) if re.fullmatch(pattern, line)]
        assert found, pattern


def test_a_higher_priority_goes_first(server: Server) -> None:
    ended: list[str] = []
    noted = threading.Lock()

    def run(name: str, count: int, priority: int) -> None:
        assert ask(server, count, priority=priority).status_code == 200
        with noted:
            ended.append(name)

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(run, "running", 1900, 0)]
        wait_until(lambda: server.state()["num_running_reqs"] == 1, 30, "the first one runs")
        for name, priority in [("low", -1), ("usual", 0), ("high", 1)]:
            jobs.append(pool.submit(run, name, 50, priority))
        wait_until(lambda: server.state()["num_waiting_reqs"] == 3, 30, "the others wait")
        for job in jobs:
            job.result()
    assert ended == ["running", "high", "usual", "low"]


def test_a_request_that_takes_too_long_frees_its_memory(server: Server) -> None:
    answer = ask(server, 1900, timeout=0.3)
    assert answer.status_code == 504
    wait_until(lambda: server.state()["num_used_tokens"] == 0, 10, "slots freed")
    assert server.state()["num_running_reqs"] == 0


class Starting:
    """A server that has just been told to start."""

    def __init__(self, log: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "sglang.launch_server", "--port", str(port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        self._url = f"http://127.0.0.1:{port}"
        self.seen: list[tuple[str, int]] = []

    def probe(self, path: str) -> int:
        """The status of a probe; 0 while nobody listens."""
        try:
            status = httpx.get(self._url + path, timeout=5).status_code
        except httpx.TransportError:
            return 0
        self.seen.append((path, status))
        return status

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Starting]:
    server = Starting(tmp_path / "log")
    yield server
    server.process.kill()
    server.process.wait()


def test_probes_tell_that_the_model_is_being_loaded(starting: Starting) -> None:
    wait_until(lambda: starting.probe("/live") == 200, 60, "alive")
    assert starting.probe("/health") == 503
    wait_until(lambda: starting.probe("/health") == 200, 120, "ready")
    assert starting.probe("/live") == 200
    assert ("/live", 503) not in starting.seen
    assert starting.stop() == 0


def test_a_server_can_be_stopped_while_it_loads(starting: Starting) -> None:
    wait_until(lambda: starting.probe("/live") == 200, 60, "alive")
    assert starting.stop() == 0
    assert starting.probe("/health") == 0


def test_a_stopped_server_finishes_what_it_has_begun(launch: Any) -> None:
    server = launch("--drain-timeout", "60")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(ask, server, 600)
        wait_until(lambda: server.state()["num_running_reqs"] == 1, 30, "request running")
        server.process.send_signal(signal.SIGTERM)
        wait_until(
            lambda: httpx.get(f"{server.url}/health").status_code == 503, 30, "drain has begun"
        )
        refused = ask(server, 1)
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        answer = running.result()
    assert answer.status_code == 200
    assert answer.json()["meta_info"]["completion_tokens"] == 600
    assert server.process.wait(20) == 0


def test_a_second_signal_ends_a_server_at_once(launch: Any) -> None:
    server = launch("--drain-timeout", "600")
    engine = server.engine_pid()
    body = {"text": "a", "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True, "n": 16}}
    with ThreadPoolExecutor() as pool:
        running = pool.submit(httpx.post, f"{server.url}/generate", json=body, timeout=120)
        wait_until(lambda: server.state()["num_running_reqs"] == 16, 30, "requests running")
        server.process.send_signal(signal.SIGINT)
        wait_until(
            lambda: httpx.get(f"{server.url}/ready").json()["status"] == "draining", 30, "draining"
        )
        assert not running.done()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 128 + signal.SIGINT
        with pytest.raises(httpx.TransportError):
            running.result()
    wait_until(lambda: not os.path.exists(f"/proc/{engine}"), 20, "engine gone")
