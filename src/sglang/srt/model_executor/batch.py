"""What the scheduler asks of the model in one step, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sglang.srt.sampling.sampling_row import SamplingRow
from sglang.srt.sampling.token_logprobs import TokenLogprobs


class ScheduledRequest(Protocol):
    """What the model has to know of a request. The scheduler's requests know more."""

    rid: str
    tokens: NDArray[np.int32]
    """Prompt and output; only the first ``num_tokens`` count."""
    prompt_len: int
    num_tokens: int
    row: int
    """Row of the slot table."""
    sampling: SamplingRow
    return_logprob: bool
    logprob_start_len: int
    """First prompt position whose logprob is wanted, or -1."""
    top_logprobs_num: int
    pooled: NDArray[np.float64] | None
    """What an embedding needs of the hidden states of the tokens before the entry, if anything."""
    return_hidden_states: bool
    input_embeds: NDArray[np.float32] | None
    """[prompt_len, H], read in the place of the prompt's tokens, if given."""
    num_hidden: int
    """Leading tokens whose hidden states are known already."""

    @property
    def wants_prompt_logprobs(self) -> bool: ...


R = TypeVar("R", bound=ScheduledRequest)


@dataclass(frozen=True, slots=True)
class BatchEntry(Generic[R]):
    """Compute ``count`` tokens of ``request`` from its token ``start`` on."""

    request: R
    start: int
    count: int

    @property
    def samples(self) -> bool:
        """Whether the next token follows from this step."""
        return self.start + self.count == self.request.num_tokens


Batch = Sequence[BatchEntry[R]]


@dataclass(slots=True)
class BatchResult:
    """Outcome of a batch, by position of the entry in it."""

    next_tokens: dict[int, int]
    """Token sampled for each entry that samples; -1 if its logits were not finite."""
    output_logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    prompt_logprobs: dict[int, TokenLogprobs] = field(default_factory=dict)
    """Of the prompt tokens that the entry's tokens predict."""
    pooled: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    """What the entries that go on have to remember, see ``ScheduledRequest.pooled``."""
    embeddings: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """Embedding or scores of each entry that is complete with this batch."""
    hidden_states: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """[n, H] of the entry's tokens from ``num_hidden`` on, where the request wants them."""


class Runner(Protocol):
    """Executes batches. Implemented by ``ModelRunner``; tests use a toy."""

    def execute(self, batch: Batch[R]) -> BatchResult:
        """Run the model over the batch. Running the same batch again is harmless."""
        ...
