"""Continuous batching: decides what every step computes and turns results into messages.

``step()`` is a function of the scheduler's state and inbox, not of clocks or threads. It plans
one ragged batch (a token for each decoding request, chunks of prompts within a budget), has
the runner execute it, and commits the outcome.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.grammar import (
    CompiledGrammar,
    GrammarError,
    GrammarSource,
    GrammarSpec,
    NoGrammars,
)
from sglang.srt.constrained.reasoning import ReasoningState
from sglang.srt.managers.io_struct import (
    AbortRequest,
    ControlReply,
    ControlRequest,
    FinishReason,
    ForgetPrefix,
    HiddenStates,
    RequestOutput,
    SchedulerRequest,
    TokenizedRequest,
    TokenLogprobs,
)
from sglang.srt.managers.request import Request, make_request
from sglang.srt.managers.request_memory import RequestMemory
from sglang.srt.managers.schedule_policy import (
    AdmissionOrder,
    NewTokenRatio,
    SchedulePolicy,
    computes_same_prefix,
    update_match,
)
from sglang.srt.model_executor.batch import Batch, BatchEntry, BatchResult, Runner
from sglang.srt.sampling.custom_logit_processor import ProcessorStore

logger = logging.getLogger(__name__)

SCAN_LIMIT = 256
"""Waiting requests looked at in one step."""


@dataclass(frozen=True)
class SchedulerConfig:
    """Limits and choices of one scheduler."""

    num_slots: int
    max_running_requests: int
    max_context: int
    """Tokens of one sequence, output included."""
    prefill_budget: int
    """Prompt tokens computed in one step."""
    chunked_prefill: bool = True
    """Whether a prompt may be computed in several steps; if not, the budget bends for it."""
    prefix_cache: bool = True
    policy: SchedulePolicy = "lpm"
    conservativeness: float = 1.0
    prefill_only_one_req: bool = False
    eos_token_ids: frozenset[int] = frozenset()
    seed: int = 0
    input_embeds: bool = False
    """Whether the model reads prompts that come as vectors."""
    jump_forward: bool = True
    """Whether tokens that a grammar forces are added without sampling them."""


@dataclass(slots=True)
class SchedulerStats:
    """Counters since the start."""

    steps: int = 0
    new_sequences: int = 0
    prefill_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    retractions: int = 0
    finished: int = 0
    aborted: int = 0


class Scheduler:
    """Owns all requests of an engine."""

    def __init__(
        self,
        config: SchedulerConfig,
        runner: Runner,
        memory: RequestMemory,
        grammars: GrammarSource | None = None,
        processors: ProcessorStore | None = None,
    ) -> None:
        self.config = config
        self.memory = memory
        self.grammars: GrammarSource = grammars or NoGrammars()
        self.processors = processors or ProcessorStore(enabled=False)
        self.compiling: dict[Request, Future[CompiledGrammar]] = {}
        """Requests whose grammar is not ready; nobody waits for them."""
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.admitted: list[str] = []
        """Requests that the last step was the first for."""
        self.hidden_states: dict[str, HiddenStates] = {}
        """Of what the last step computed, by rid."""
        self.admits_new = True
        """While False, requests that no step has taken up stay in the queue."""
        self.stats = SchedulerStats()
        self.new_token_ratio = NewTokenRatio(config.conservativeness)
        self._runner = runner
        self._order = AdmissionOrder(config.policy, memory.cache, config.seed)
        self._by_rid: dict[str, Request] = {}
        self._arrivals = 0
        self._outputs: list[RequestOutput] = []

    # ----------------------------------------------------------------- inbox

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing. Grammars may still be compiling."""
        busy = self.running or self.waiting or self._outputs
        return not busy and not any(grammar.done() for grammar in self.compiling.values())

    @property
    def has_begun(self) -> bool:
        """Whether a request runs, or waits to go on after a retraction."""
        return bool(self.running) or any(request.cached_tokens >= 0 for request in self.waiting)

    def receive(self, message: SchedulerRequest) -> ControlReply | None:
        """Take a message in; only control requests have an immediate answer."""
        if isinstance(message, TokenizedRequest):
            self._add(message)
        elif isinstance(message, AbortRequest):
            request = self._by_rid.get(message.rid)
            if request is not None:
                self._end(request, FinishReason("abort"))
        elif isinstance(message, ForgetPrefix):
            tokens = np.frombuffer(message.token_ids, dtype="<i4")
            self.memory.cache.forget(tokens, message.cache_namespace, keep=message.keep)
        else:
            return self._control(message)
        return None

    def _add(self, message: TokenizedRequest) -> None:
        if message.rid in self._by_rid:
            self._refuse(message.rid, f"rid {message.rid!r} is in use by another request")
            return
        if message.input_embeds is not None and not self.config.input_embeds:
            self._refuse(message.rid, "the model that is served does not read input_embeds")
            return
        try:
            request = make_request(
                message,
                eos_token_ids=self.config.eos_token_ids,
                max_total=min(self.config.max_context, self.config.num_slots),
                arrival=self._arrivals,
                arrival_step=self.stats.steps,
                processors=self.processors,
            )
        except ValueError as error:
            self._refuse(message.rid, str(error))
            return
        self._arrivals += 1
        self._by_rid[request.rid] = request
        if message.reasoning is not None:
            eos_ids = self.config.eos_token_ids
            request.sampling.grammar = ReasoningState(message.reasoning, eos_ids)
        spec = GrammarSpec.of(message.sampling)
        if spec is None:
            self.waiting.append(request)
        else:
            self.compiling[request] = self.grammars.get(spec)

    def _refuse(self, rid: str, reason: str) -> None:
        self._outputs.append(RequestOutput(rid, [], FinishReason("abort", None, reason, 400)))

    def _control(self, message: ControlRequest) -> ControlReply:
        if message.op == "flush_cache":
            self.memory.cache.flush()
        return ControlReply(message.id, True, payload=self.state())

    def state(self) -> dict[str, Any]:
        """Gauges and counters, as plain values."""
        used = self.config.num_slots - self.memory.available
        return {
            "max_total_num_tokens": self.config.num_slots,
            "max_running_requests": self.config.max_running_requests,
            "num_running_reqs": len(self.running),
            "num_waiting_reqs": len(self.waiting),
            "num_grammar_queue_reqs": len(self.compiling),
            "num_used_tokens": used,
            "num_cached_tokens": self.memory.cache.size,
            "token_usage": used / self.config.num_slots,
            "new_token_ratio": self.new_token_ratio.value,
            **{name: getattr(self.stats, name) for name in SchedulerStats.__slots__},
        }

    # ----------------------------------------------------------------- a step

    def step(self) -> list[RequestOutput]:
        """Plan, execute and commit one batch; returns what there is to tell."""
        self.admitted = []
        self.hidden_states = {}
        self._take_grammars()
        batch = self._plan()
        if batch:
            self.memory.extend(batch)
            self._execute(batch)
            self.stats.steps += 1
        outputs, self._outputs = self._outputs, []
        return outputs

    def on_idle(self) -> None:
        """Between bursts: nothing runs, so every slot must be free or in the tree.

        Raises:
            RuntimeError: the pool has lost track of a slot.
        """
        self.new_token_ratio.reset()
        self.memory.check(self.running)

    def _execute(self, batch: Batch[Request]) -> None:
        """Run a batch. If it fails, find the request to blame and spare the others."""
        try:
            result = self._runner.execute(batch)
        except Exception as error:
            logger.exception("a batch of %d requests failed", len(batch))
            if len(batch) > 1:
                for entry in batch:
                    self._execute([entry])
            else:
                reason = f"internal error: {type(error).__name__}"
                self._end(batch[0].request, FinishReason("abort", None, reason, 500))
            return
        self._commit(batch, result)

    def _take_grammars(self) -> None:
        """Let the requests whose grammar is ready join the queue."""
        if not self.compiling:
            return
        ready = [(request, each) for request, each in self.compiling.items() if each.done()]
        for request, grammar in ready:
            try:
                state = grammar.result().start()
            except GrammarError as error:
                spec = GrammarSpec.of(request.sampling.params)
                reason = f"{spec.kind if spec else 'grammar'}: {error}"
                self._end(request, FinishReason("abort", None, reason, 400))
                continue
            del self.compiling[request]
            self.waiting.append(request)
            if isinstance(request.sampling.grammar, ReasoningState):
                request.sampling.grammar.then(state)
            else:
                request.sampling.grammar = state
            # What is forced from the start becomes part of the prompt, so to say.
            output = RequestOutput(request.rid, [])
            self._jump_forward(request, output)
            if output.token_ids:
                self._report(request, output)

    # ----------------------------------------------------------------- planning

    def _plan(self) -> list[BatchEntry[Request]]:
        while True:
            self._make_room_for_decode()
            batch = [BatchEntry(r, r.num_computed, 1) for r in self.running if r.remaining == 1]
            budget = self.config.prefill_budget
            for request in self.running:
                if request.remaining > 1:
                    budget -= self._add_chunk(batch, request, budget)
            self._admit(batch, budget)
            if batch or not self.running:
                return batch
            self._retract()

    def _make_room_for_decode(self) -> None:
        """Retract requests until every decoding one can have a slot."""
        retracted = 0
        while sum(r.remaining == 1 for r in self.running) > self.memory.available:
            self._retract()
            retracted += 1
        ratio = self.new_token_ratio
        before = ratio.value
        if not retracted:
            ratio.decay()
            return
        ratio.raise_after_retraction(self.running)
        text = "decode out of memory happened, #retracted_reqs: %d, #new_token_ratio: %.4f -> %.4f"
        logger.warning(text, retracted, before, ratio.value)

    def _add_chunk(self, batch: list[BatchEntry[Request]], request: Request, budget: int) -> int:
        """Plan the next tokens of a prompt; returns how many."""
        planned = sum(e.count for e in batch)
        limit = budget if self.config.chunked_prefill else request.remaining
        count = min(request.remaining, limit, self.memory.available - planned)
        if count <= 0:
            return 0
        batch.append(BatchEntry(request, request.num_computed, count))
        return count

    def _admit(self, batch: list[BatchEntry[Request]], budget: int) -> None:
        """Start waiting requests while the budget and the pool last."""
        if not self.waiting or budget <= 0 or not self._may_start():
            return
        reserved = sum(r.remaining + self.new_token_ratio.reserve(r) for r in self.running)
        candidates = self.waiting
        if not self.admits_new:
            candidates = [request for request in self.waiting if request.cached_tokens >= 0]
        for request in self._order.sort(candidates, self.stats.steps)[:SCAN_LIMIT]:
            if budget <= 0 or not self._may_start():
                break
            if self._is_computed_by_other(request):
                continue
            wanted = request.num_tokens - request.match_len
            if not self.config.chunked_prefill and wanted > budget and batch:
                break
            room = reserved + self.new_token_ratio.reserve(request) if self.running else 0
            is_new = request.cached_tokens < 0
            if not self.memory.try_admit(request, room=room):
                break
            if is_new:
                self.admitted.append(request.rid)
            self.waiting.remove(request)
            self.running.append(request)
            self.stats.new_sequences += 1
            self.stats.cached_tokens += request.num_computed
            count = self._add_chunk(batch, request, budget)
            budget -= count
            reserved += request.remaining + self.new_token_ratio.reserve(request)

    def _may_start(self) -> bool:
        if len(self.running) >= self.config.max_running_requests:
            return False
        prefilling = any(r.remaining > 1 for r in self.running)
        return not (self.config.prefill_only_one_req and prefilling)

    def _is_computed_by_other(self, request: Request) -> bool:
        if not self.config.prefix_cache:
            return False
        update_match(request, self.memory.cache)
        return any(computes_same_prefix(request, r) for r in self.running)

    def _retract(self) -> None:
        """Send the running request that loses least back to the queue; its tokens are kept.

        Not the oldest of the highest priority, so that there is always progress.
        """
        keep = min(self.running, key=lambda r: (-r.priority, r.arrival))
        victim = min(
            (r for r in self.running if r is not keep),
            key=lambda r: (r.priority, r.num_slots - r.num_shared, -r.arrival),
            default=None,
        )
        if victim is None:
            raise RuntimeError("the KV pool cannot hold a single request")
        self.running.remove(victim)
        self.memory.release(victim)
        if not victim.prompt_logprobs_sent:
            victim.prompt_logprobs = None
        victim.match_version = -1
        self.waiting.insert(0, victim)
        self.stats.retractions += 1

    # ----------------------------------------------------------------- committing

    def _commit(self, batch: Batch[Request], result: BatchResult) -> None:
        for i, entry in enumerate(batch):
            request = entry.request
            request.num_computed += entry.count
            if i in result.prompt_logprobs:
                request.add_prompt_logprobs(result.prompt_logprobs[i])
            values = result.hidden_states.get(i)
            if values is not None and len(values):
                request.num_hidden = max(request.num_hidden, request.num_computed)
                self.hidden_states[request.rid] = HiddenStates(len(values), values.tobytes())
            if entry.start < request.prompt_len:
                self.stats.prefill_tokens += entry.count
                self.memory.share(request)
            if i in result.pooled:
                request.pooled = result.pooled[i]
            if i in result.next_tokens:
                self._emit(request, result.next_tokens[i], result.output_logprobs.get(i))
            elif i in result.embeddings:
                self._emit_embedding(request, result.embeddings[i])

    def _emit(self, request: Request, token: int, logprobs: TokenLogprobs | None) -> None:
        """Report a sampled token and those it forces; end the sequence where it ends."""
        if token < 0:
            self._end(request, _why_no_token(request))
            return
        output = RequestOutput(request.rid, [token], None, request.cached_tokens, logprobs)
        if request.wants_prompt_logprobs:
            output.input_logprobs = request.prompt_logprobs or TokenLogprobs([], [])
            request.prompt_logprobs, request.prompt_logprobs_sent = None, True
        if request.max_new_tokens == 0:
            output.token_ids, output.output_logprobs = [], None
            output.finish = FinishReason("length")
        else:
            output.finish = request.append(token)
            if output.finish is None:
                self._jump_forward(request, output)
        self._report(request, output)

    def _emit_embedding(self, request: Request, embedding: NDArray[np.float32]) -> None:
        """Report what the model has made of a prompt, which ends the request."""
        if not np.isfinite(embedding).all():
            reason = "the model produced an embedding that is not finite"
            self._end(request, FinishReason("abort", None, reason, 500))
            return
        output = RequestOutput(request.rid, [], FinishReason("length"), request.cached_tokens)
        output.embedding = embedding.astype("<f4").tobytes()
        self._report(request, output)

    def _jump_forward(self, request: Request, output: RequestOutput) -> None:
        """Add the tokens that the grammar forces; a later step computes them all at once."""
        if not self.config.jump_forward or request.sampling.grammar is None:
            return
        for token in request.forced_tokens():
            output.token_ids.append(token)
            output.finish = request.append(token)
            if output.finish is not None:
                return

    def _report(self, request: Request, output: RequestOutput) -> None:
        self.stats.generated_tokens += len(output.token_ids)
        if output.finish is not None:
            self._remove(request)
            self.stats.finished += 1
        self._outputs.append(output)

    def _end(self, request: Request, reason: FinishReason) -> None:
        """End a request before its time."""
        self._remove(request)
        self.stats.aborted += 1
        self._outputs.append(RequestOutput(request.rid, [], reason, max(request.cached_tokens, 0)))

    def _remove(self, request: Request) -> None:
        del self._by_rid[request.rid]
        if request in self.compiling:
            del self.compiling[request]
        elif request.row < 0:
            self.waiting.remove(request)
        else:
            self.running.remove(request)
            self.memory.release(request)


def _why_no_token(request: Request) -> FinishReason:
    """The end of a request for which no token could be chosen."""
    if request.sampling.error:
        return FinishReason("abort", None, request.sampling.error, 400)
    grammar = request.sampling.grammar
    if grammar is not None and grammar.error:
        return FinishReason("abort", None, grammar.error, 400)
    if request.sampling.processor is not None:
        reason = (
            "custom_logit_processor left no token to choose: its logits are NaN, infinite, all "
            "-inf, or none that the grammar allows"
        )
        return FinishReason("abort", None, reason, 400)
    reason = "the model produced logits that are not finite"
    return FinishReason("abort", None, reason, 500)
