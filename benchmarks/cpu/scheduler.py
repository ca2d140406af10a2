"""Cost of a scheduler step without a model, and of looking up a long prompt in the prefix tree.

    python benchmarks/cpu/scheduler.py

Prints microseconds (median and 99th percentile) for decode steps at several batch sizes, and for
matching a 10,000-token prompt that is wholly in the tree.
"""

from __future__ import annotations

import time

import numpy as np

from sglang.srt.managers.io_struct import StepOutput, TokenizedRequest, encode
from sglang.srt.managers.request_memory import RequestMemory
from sglang.srt.managers.scheduler import Scheduler, SchedulerConfig
from sglang.srt.model_executor.batch import Batch, BatchResult
from sglang.srt.sampling.sampling_params import SamplingParams

STEPS = 400


class NullRunner:
    """Samples token 1 everywhere, at once."""

    def execute(self, batch: Batch) -> BatchResult:
        return BatchResult({i: 1 for i, entry in enumerate(batch) if entry.samples})


def report(name: str, seconds: list[float]) -> None:
    micros = np.array(seconds) * 1e6
    print(f"{name:<44}{np.median(micros):>10.1f}{np.percentile(micros, 99):>10.1f}")


def decode_steps(batch_size: int) -> None:
    config = SchedulerConfig(
        num_slots=1 << 20, max_running_requests=512, max_context=4096, prefill_budget=1 << 20
    )
    memory = RequestMemory(num_slots=1 << 20, max_running=512, max_context=4096, prefix_cache=True)
    scheduler = Scheduler(config, NullRunner(), memory)
    rng = np.random.default_rng(0)
    for i in range(batch_size):
        prompt = rng.integers(0, 32000, 512).astype("<i4")
        params = SamplingParams(max_new_tokens=STEPS + 10)
        scheduler.receive(TokenizedRequest(str(i), prompt.tobytes(), params))
    scheduler.step()
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        encode(StepOutput(scheduler.step()))
        times.append(time.perf_counter() - start)
    report(f"decode step, batch {batch_size}", times)


def long_match() -> None:
    memory = RequestMemory(num_slots=1 << 16, max_running=4, max_context=16384, prefix_cache=True)
    tokens = np.random.default_rng(0).integers(0, 32000, 10_000).astype(np.int32)
    for end in range(500, 10_001, 500):  # as chunked prefill leaves it: an edge a chunk
        slots = memory.cache.alloc(end)
        memory.cache.free(slots[: memory.cache.insert(tokens[:end], slots)])
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        assert len(memory.cache.match(tokens).slots) == len(tokens)
        times.append(time.perf_counter() - start)
    report("match of 10,000 tokens in 20 edges", times)


if __name__ == "__main__":
    print(f"{'':<44}{'p50 us':>10}{'p99 us':>10}")
    for size in (1, 16, 64, 256):
        decode_steps(size)
    long_match()
