"""What the engine process measures of its steps: log lines, and figures for who asks.

The lines have the form that the documentation explains. The scheduler knows no clock, so its speed
is measured here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sglang.srt.managers.scheduler import Scheduler

logger = logging.getLogger(__name__)


@dataclass
class _Period:
    """The steps since the last decode line, or since there was nothing to do."""

    since: float
    generated: int = 0
    """Tokens generated before it."""
    steps: int = 0
    step_seconds: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        self.steps += 1
        self.step_seconds += seconds
        self.longest = max(self.longest, seconds)

    def throughput(self, generated: int, now: float) -> float:
        """Tokens a second so far."""
        return (generated - self.generated) / max(now - self.since, 1e-6)


class StepLog:
    """A line for each prefill step, and one for every ``interval`` decode steps."""

    def __init__(
        self,
        interval: int,
        *,
        show_time_cost: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._show_time_cost = show_time_cost
        self._decode_steps = 0
        self._prefilled = 0
        self._cached = 0
        self._sequences = 0
        self._period = _Period(clock())
        self._throughput = 0.0
        """Of the last period that ended with a line; 0 if there was nothing to do since."""

    def after_idle(self, scheduler: Scheduler) -> None:
        """To be called when work arrives after a pause, which does not count as slowness."""
        self._period = _Period(self._clock(), scheduler.stats.generated_tokens)
        self._throughput = 0.0

    def after_step(self, scheduler: Scheduler, seconds: float) -> None:
        """To be called after every step that had a batch; ``seconds`` is what it took."""
        stats = scheduler.stats
        self._period.add(seconds)
        if stats.prefill_tokens > self._prefilled:
            self._log_prefill(scheduler)
        self._decode_steps += 1
        if self._decode_steps >= self._interval:
            self._log_decode(scheduler)

    def figures(self, scheduler: Scheduler) -> dict[str, Any]:
        """What the scheduler's own state lacks: tokens a second of late, and cache hits."""
        stats = scheduler.stats
        seen = stats.cached_tokens + stats.prefill_tokens
        throughput = 0.0
        if scheduler.running or scheduler.waiting:
            so_far = self._period.throughput(stats.generated_tokens, self._clock())
            throughput = self._throughput or so_far
        return {
            "gen_throughput": throughput,
            "cache_hit_rate": stats.cached_tokens / seen if seen else 0.0,
        }

    def _log_prefill(self, scheduler: Scheduler) -> None:
        stats = scheduler.stats
        logger.info(
            "Prefill batch. #new-seq: %d, #new-token: %d, #cached-token: %d, "
            "token usage: %.2f, #running-req: %d, #queue-req: %d",
            stats.new_sequences - self._sequences,
            stats.prefill_tokens - self._prefilled,
            stats.cached_tokens - self._cached,
            _usage(scheduler),
            len(scheduler.running),
            len(scheduler.waiting),
        )
        self._prefilled, self._cached = stats.prefill_tokens, stats.cached_tokens
        self._sequences = stats.new_sequences

    def _log_decode(self, scheduler: Scheduler) -> None:
        generated = scheduler.stats.generated_tokens
        now = self._clock()
        self._throughput = self._period.throughput(generated, now)
        logger.info(
            "Decode batch. #running-req: %d, #token: %d, token usage: %.2f, "
            "gen throughput (token/s): %.2f, #queue-req: %d",
            len(scheduler.running),
            scheduler.config.num_slots - scheduler.memory.available,
            _usage(scheduler),
            self._throughput,
            len(scheduler.waiting),
        )
        if self._show_time_cost:
            _log_times(self._period, now)
        self._decode_steps = 0
        self._period = _Period(now, generated)


def _log_times(period: _Period, now: float) -> None:
    others = now - period.since - period.step_seconds
    logger.info(
        "Time cost. #step: %d, step: %.2f ms, longest step: %.2f ms, between steps: %.2f ms",
        period.steps,
        period.step_seconds / period.steps * 1000,
        period.longest * 1000,
        others / period.steps * 1000,
    )


def _usage(scheduler: Scheduler) -> float:
    slots = scheduler.config.num_slots
    return (slots - scheduler.memory.available) / slots
