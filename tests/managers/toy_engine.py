"""A model without tensors, for tests of the scheduler.

It stores each computed token in its slot, reads the whole sequence back from the slots of the
request's row, and predicts a hash of it. A slot that is lost, shared wrongly or overwritten thus
changes the output.
"""

from __future__ import annotations

import zlib

import numpy as np

from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.managers.request_memory import RequestMemory
from sglang.srt.managers.scheduler import Scheduler, SchedulerConfig
from sglang.srt.model_executor.batch import Batch, BatchResult
from sglang.srt.sampling.sampling_params import SamplingParams

VOCAB = 50
EOS = 0


def predict(sequence: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(sequence, dtype="<i4").tobytes()) % VOCAB


def expected_output(prompt: list[int], max_new_tokens: int) -> list[int]:
    """What a request must give, whatever else happens."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + max_new_tokens:
        tokens.append(predict(np.array(tokens)))
        if tokens[-1] == EOS:
            break
    return tokens[len(prompt) :]


class ToyRunner:
    """Executes batches over a table of slots; ``poison`` makes batches with that rid fail."""

    def __init__(self, memory: RequestMemory) -> None:
        self.memory = memory
        self.stored = np.full(memory.allocator.num_slots, -1, dtype=np.int32)
        self.batches: list[list[tuple[str, int, int]]] = []
        self.poison = ""

    def execute(self, batch: Batch) -> BatchResult:
        self.batches.append([(e.request.rid, e.start, e.count) for e in batch])
        if any(e.request.rid == self.poison for e in batch):
            raise FloatingPointError("poisoned")
        rows = self.memory.table.slots
        result = BatchResult(next_tokens={})
        for entry in batch:
            end = entry.start + entry.count
            slots = rows[entry.request.row, entry.start : end]
            self.stored[slots] = entry.request.tokens[entry.start : end]
        for i, entry in enumerate(batch):
            sequence = self.stored[rows[entry.request.row, : entry.start + entry.count]]
            if entry.samples:
                result.next_tokens[i] = predict(sequence)
        return result


def make_scheduler(
    *, num_slots: int = 512, prefill_budget: int = 64, prefix_cache: bool = True, **config
) -> tuple[Scheduler, ToyRunner]:
    settings = SchedulerConfig(
        num_slots=num_slots,
        max_running_requests=config.pop("max_running_requests", 16),
        max_context=config.pop("max_context", 256),
        prefill_budget=prefill_budget,
        prefix_cache=prefix_cache,
        eos_token_ids=frozenset({EOS}),
        **config,
    )
    memory = RequestMemory(
        num_slots=num_slots,
        max_running=settings.max_running_requests,
        max_context=settings.max_context,
        prefix_cache=prefix_cache,
    )
    runner = ToyRunner(memory)
    return Scheduler(settings, runner, memory), runner


def request(rid: str, prompt: list[int], max_new_tokens: int = 8, **fields) -> TokenizedRequest:
    sampling = SamplingParams(
        max_new_tokens=max_new_tokens,
        ignore_eos=fields.pop("ignore_eos", False),
        stop_token_ids=fields.pop("stop_token_ids", []),
    )
    ids = np.array(prompt, dtype="<i4").tobytes()
    return TokenizedRequest(rid, ids, sampling, **fields)


def run(scheduler: Scheduler, max_steps: int = 2000) -> dict[str, list[RequestOutput]]:
    """Step until idle, checking the pool after every step; all outputs by request."""
    outputs: dict[str, list[RequestOutput]] = {}
    for _ in range(max_steps):
        if scheduler.is_idle:
            return outputs
        for output in scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
        scheduler.memory.check(scheduler.running)
    raise AssertionError(f"not idle after {max_steps} steps")


def tokens_of(outputs: list[RequestOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]
