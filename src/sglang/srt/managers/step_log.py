"""The engine's log lines, in the form that the documentation explains."""

from __future__ import annotations

import logging
import time

from sglang.srt.managers.scheduler import Scheduler

logger = logging.getLogger(__name__)


class StepLog:
    """A line for each prefill step, and one for every ``interval`` decode steps."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._decode_steps = 0
        self._generated = 0
        self._prefilled = 0
        self._cached = 0
        self._sequences = 0
        self._since = time.monotonic()

    def after_idle(self) -> None:
        """To be called when work arrives after a pause, which does not count as slowness."""
        self._since = time.monotonic()

    def after_step(self, scheduler: Scheduler) -> None:
        """To be called after every step that had a batch."""
        stats = scheduler.stats
        if stats.prefill_tokens > self._prefilled:
            self._log_prefill(scheduler)
        self._decode_steps += 1
        if self._decode_steps >= self._interval:
            self._log_decode(scheduler)

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
        now = time.monotonic()
        generated = scheduler.stats.generated_tokens
        used = scheduler.config.num_slots - scheduler.memory.available
        logger.info(
            "Decode batch. #running-req: %d, #token: %d, token usage: %.2f, "
            "gen throughput (token/s): %.2f, #queue-req: %d",
            len(scheduler.running),
            used,
            _usage(scheduler),
            (generated - self._generated) / (now - self._since),
            len(scheduler.waiting),
        )
        self._decode_steps, self._generated, self._since = 0, generated, now


def _usage(scheduler: Scheduler) -> float:
    slots = scheduler.config.num_slots
    return (slots - scheduler.memory.available) / slots
