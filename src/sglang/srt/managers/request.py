"""A request as the engine sees it: a growing sequence of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.io_struct import FinishReason, TokenizedRequest, TokenLogprobs
from sglang.srt.mem_cache.radix_cache import Node
from sglang.srt.sampling.custom_logit_processor import (
    CustomLogitProcessor,
    ProcessorError,
    ProcessorStore,
)
from sglang.srt.sampling.sampling_row import SamplingRow


@dataclass(slots=True, eq=False)
class Request:
    """One sequence, waiting or running.

    ``tokens[:num_tokens]`` is the prompt and what was generated so far. The keys and values of
    ``tokens[:num_computed]`` are in the pool; a step computes some of the others, and one that
    computes the last of them also samples the next token. Prefill, decode and a new start after
    retraction thus differ only in how many tokens are still to be computed.
    """

    rid: str
    tokens: NDArray[np.int32]
    """Capacity for the prompt and all tokens that may be generated."""
    prompt_len: int
    num_tokens: int
    max_new_tokens: int
    sampling: SamplingRow
    """Shares ``output_ids`` with the sampler."""
    output_ids: list[int]
    finish_ids: frozenset[int]
    """Tokens that end the sequence."""
    return_logprob: bool
    logprob_start_len: int
    top_logprobs_num: int
    return_hidden_states: bool
    priority: int
    namespace: str
    arrival: int
    """Sequence number: who came first."""
    arrival_step: int
    """Number of the step before which it came; waiting time is counted in steps."""

    input_embeds: NDArray[np.float32] | None = None
    """[prompt_len, H], read in the place of the prompt's tokens."""
    row: int = -1
    """Row in the slot table while running, else -1."""
    node: Node | None = None
    """Where the locked path of the prefix tree ends."""
    num_shared: int = 0
    """Leading slots of the row that belong to the tree."""
    num_slots: int = 0
    """Slots in the row, shared or own."""
    num_computed: int = 0
    cached_tokens: int = -1
    """Prompt tokens found in the cache at the first admission; -1 before."""
    prompt_logprobs: TokenLogprobs | None = None
    """Collected while the prompt is computed, sent with the first token."""
    prompt_logprobs_sent: bool = False
    pooled: NDArray[np.float64] | None = None
    """What an embedding needs of the hidden states of ``tokens[:num_computed]``, if anything."""
    finish: FinishReason | None = None
    match_version: int = -1
    """Version of the prefix tree that ``match_len`` refers to."""
    match_len: int = 0
    num_hidden: int = 0
    """Leading tokens whose hidden states were reported."""

    @property
    def remaining(self) -> int:
        """Tokens whose KV is still to be computed."""
        return self.num_tokens - self.num_computed

    @property
    def wants_prompt_logprobs(self) -> bool:
        return self.return_logprob and self.logprob_start_len >= 0 and not self.prompt_logprobs_sent

    @property
    def max_cached(self) -> int:
        """How many leading tokens may come from the cache.

        The last token has to be computed, since its logits choose the next one; so do the
        tokens before each prompt token whose logprob is wanted, and those whose hidden states are
        wanted and were not reported yet.
        """
        limit = self.num_tokens - 1
        if self.wants_prompt_logprobs:
            limit = min(max(self.logprob_start_len - 1, 0), limit)
        if self.return_hidden_states:
            limit = min(self.num_hidden, limit)
        return limit

    def add_prompt_logprobs(self, part: TokenLogprobs) -> None:
        if self.prompt_logprobs is None:
            self.prompt_logprobs = part
        else:
            self.prompt_logprobs.extend(part)

    def append(self, token: int) -> FinishReason | None:
        """Add a generated token; returns why the sequence ends with it, if it does."""
        self.tokens[self.num_tokens] = token
        self.num_tokens += 1
        self.output_ids.append(token)
        if token in self.finish_ids:
            return FinishReason("stop", token)
        grammar = self.sampling.grammar
        if grammar is not None:
            if not grammar.accept(token):
                return FinishReason("abort", None, grammar.error, 500)
            if grammar.is_finished:
                return FinishReason("stop")
        if len(self.output_ids) >= self.max_new_tokens:
            return FinishReason("length")
        return None

    def forced_tokens(self) -> list[int]:
        """Tokens that the grammar leaves no choice about, to be added without asking the model.

        None where the model's opinion or hidden state of each token is wanted.
        """
        grammar = self.sampling.grammar
        if grammar is None or self.max_new_tokens == 0:
            return []
        if self.return_logprob or self.return_hidden_states:
            return []
        return grammar.forced_tokens()

    def known(self) -> NDArray[np.int32]:
        """The tokens so far, [num_tokens]."""
        return self.tokens[: self.num_tokens]


def make_request(
    message: TokenizedRequest,
    *,
    eos_token_ids: frozenset[int],
    max_total: int,
    arrival: int,
    arrival_step: int,
    processors: ProcessorStore,
) -> Request:
    """A waiting request from its message.

    ``max_total`` bounds prompt and output together (context length and pool size); fewer tokens
    are generated when they would exceed it.

    Raises:
        ValueError: the prompt is empty or leaves no room for a single new token, or the custom
            logit processor cannot be loaded.
    """
    prompt = message.prompt()
    params = message.sampling
    if len(prompt) == 0:
        raise ValueError("input_ids is empty")
    room = max_total - len(prompt)
    least = 0 if message.is_embedding else 1
    if room < least:
        raise ValueError(
            f"the prompt has {len(prompt)} tokens; at most {max_total - least} fit "
            "(context length and max_total_tokens)"
        )
    max_new = room if params.max_new_tokens is None else min(params.max_new_tokens, room)
    stop_ids = frozenset(params.stop_token_ids)
    tokens = np.empty(len(prompt) + max(max_new, 1), dtype=np.int32)
    tokens[: len(prompt)] = prompt
    output_ids: list[int] = []
    sampling = SamplingRow(
        params=params,
        seed=params.seed or 0,
        # What stands in for embeddings was never said.
        prompt_ids=tokens[: 0 if message.input_embeds else len(prompt)],
        output_ids=output_ids,
        stop_ids=eos_token_ids | stop_ids,
        eos_ids=eos_token_ids,
        processor=_processor(message.custom_logit_processor, processors),
    )
    return Request(
        rid=message.rid,
        tokens=tokens,
        prompt_len=len(prompt),
        num_tokens=len(prompt),
        max_new_tokens=max_new,
        sampling=sampling,
        output_ids=output_ids,
        finish_ids=stop_ids if params.ignore_eos else eos_token_ids | stop_ids,
        return_logprob=message.return_logprob,
        logprob_start_len=min(message.logprob_start_len, len(prompt)),
        top_logprobs_num=message.top_logprobs_num,
        return_hidden_states=message.return_hidden_states,
        input_embeds=_embeds(message.input_embeds, len(prompt)),
        priority=message.priority,
        namespace=message.cache_namespace,
        arrival=arrival,
        arrival_step=arrival_step,
    )


def _embeds(data: bytes | None, length: int) -> NDArray[np.float32] | None:
    return None if data is None else np.frombuffer(data, dtype="<f4").reshape(length, -1)


def _processor(text: str | None, processors: ProcessorStore) -> CustomLogitProcessor | None:
    if text is None:
        return None
    try:
        return processors.get(text)
    except ProcessorError as error:
        raise ValueError(f"custom_logit_processor {error}") from error
