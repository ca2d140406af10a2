"""The loop of the engine process: what it tells, and when."""

from __future__ import annotations

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from sglang.srt.managers import engine_process
from sglang.srt.managers.engine_process import serve
from sglang.srt.managers.io_struct import ControlReply, ControlRequest, StepOutput, encode
from sglang.srt.managers.scheduler import Scheduler
from sglang.srt.managers.step_log import StepLog
from sglang.srt.managers.wire import WireClosed
from tests.managers.toy_engine import make_scheduler, request


class Api:
    """The other end of the wire: sends what it is given, a batch of messages an iteration."""

    def __init__(self, *batches: list[Any]) -> None:
        self._batches = list(batches)
        self.replies: list[Any] = []

    def receive(self, *, wait: bool) -> list[bytes]:
        if self._batches:
            return [encode(message) for message in self._batches.pop(0)]
        if wait:
            raise WireClosed
        return []

    def send(self, reply: Any) -> None:
        self.replies.append(reply)

    @property
    def steps(self) -> list[StepOutput]:
        return [reply for reply in self.replies if isinstance(reply, StepOutput)]


def run(scheduler: Scheduler, api: Api) -> None:
    engine = SimpleNamespace(scheduler=scheduler, grammars=None, on_idle=scheduler.on_idle)
    watchdog = SimpleNamespace(busy=lambda: None, idle=lambda: None)
    with pytest.raises(WireClosed):
        serve(engine, api, watchdog, StepLog(40))


def test_each_request_is_told_once_when_its_first_step_begins() -> None:
    api = Api([request("a", [1, 2, 3]), request("b", [4, 5, 6])])
    before = time.monotonic()
    run(make_scheduler()[0], api)
    assert [rid for step in api.steps for rid in step.admitted] == ["a", "b"]
    assert before <= api.steps[0].started <= time.monotonic()


def test_a_request_that_comes_back_after_a_retraction_has_not_been_waiting() -> None:
    scheduler, _ = make_scheduler(num_slots=40, conservativeness=0.01)
    requests = [request(str(i), [i, i, i], 20, ignore_eos=True) for i in range(4)]
    api = Api(requests)
    run(scheduler, api)
    assert scheduler.stats.retractions > 0
    assert sorted(rid for step in api.steps for rid in step.admitted) == ["0", "1", "2", "3"]


def test_steps_of_a_long_prompt_are_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_process, "SIGN_OF_LIFE_S", -1.0)
    scheduler, _ = make_scheduler(prefill_budget=8)
    api = Api([request("a", list(range(40)), 1)])
    run(scheduler, api)
    assert len(api.steps) == 5
    assert [bool(step.outputs) for step in api.steps] == [False] * 4 + [True]


def test_otherwise_steps_that_bring_nothing_are_not_told() -> None:
    scheduler, _ = make_scheduler(prefill_budget=8)
    api = Api([request("a", list(range(40)), 1)])
    run(scheduler, api)
    assert [(step.admitted, len(step.outputs)) for step in api.steps] == [(["a"], 0), ([], 1)]


def test_the_state_has_what_the_loop_measures() -> None:
    scheduler, _ = make_scheduler()
    prompt = list(range(40))
    api = Api(
        [request("a", prompt, 2)],
        *[[] for _ in range(10)],
        [request("b", prompt, 30), ControlRequest(1, "get_state")],
        *[[] for _ in range(5)],
        [ControlRequest(2, "get_state")],
    )
    run(scheduler, api)
    waiting, running = [r.payload for r in api.replies if isinstance(r, ControlReply)]
    assert (waiting["num_waiting_reqs"], waiting["cache_hit_rate"]) == (1, 0.0)
    assert (running["num_running_reqs"], running["cache_hit_rate"]) == (1, pytest.approx(39 / 80))
    assert running["gen_throughput"] > 0


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pass_steps(
    scheduler: Scheduler, log: StepLog, clock: Clock, count: int, seconds: float
) -> None:
    """Let steps of one token each pass, of which every other half is spent outside."""
    for _ in range(count):
        clock.now += seconds
        scheduler.stats.generated_tokens += 1
        log.after_step(scheduler, seconds / 2)


def test_pauses_are_no_slowness_and_no_speed(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = make_scheduler()
    clock = Clock()
    log = StepLog(10, clock=clock)
    with caplog.at_level(logging.INFO):
        pass_steps(scheduler, log, clock, 6, 0.1)
        clock.now += 1000
        log.after_idle(scheduler)
        pass_steps(scheduler, log, clock, 4, 0.1)
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Decode")]
    assert "gen throughput (token/s): 10.00" in line


def test_the_time_of_steps_is_told_on_request(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = make_scheduler()
    clock = Clock()
    log = StepLog(10, show_time_cost=True, clock=clock)
    with caplog.at_level(logging.INFO):
        pass_steps(scheduler, log, clock, 9, 0.1)
        pass_steps(scheduler, log, clock, 1, 0.3)
    assert caplog.records[-1].getMessage() == (
        "Time cost. #step: 10, step: 60.00 ms, longest step: 150.00 ms, between steps: 60.00 ms"
    )
