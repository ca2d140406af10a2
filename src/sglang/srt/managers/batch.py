"""What the scheduler asks of the model in one step, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sglang.srt.managers.io_struct import TokenLogprobs
from sglang.srt.managers.request import Request


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """Compute ``count`` tokens of ``request`` from its token ``start`` on."""

    request: Request
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether the next token follows from this step."""
        return self.start + self.count == self.request.num_tokens


Batch = Sequence[BatchEntry]


@dataclass(slots=True)
class BatchResult:
    """Outcome of a batch, by position of the entry in it."""

    next_tokens: dict[int, int]
    """Token sampled for each entry that samples; -1 if its logits were not finite."""
    output_logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    prompt_logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    """Of the prompt tokens that the entry's tokens predict."""


class Runner(Protocol):
    """Executes batches. Implemented by ``ModelRunner``; tests use a toy."""

    def execute(self, batch: Batch) -> BatchResult:
        """Run the model over the batch. Running the same batch again is harmless."""
        ...
