"""The API side of every request: text to tokens on the way down, tokens to text on the way up.

Runs on one asyncio loop. Has a request checked and tokenized, sends a message for each sequence
to the engine, and turns the engine's step outputs into text for whoever waits. Knows neither
HTTP nor tensors.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from sglang.srt.managers.embedding_output import embedding_prompts
from sglang.srt.managers.engine_client import EngineClient, EngineDead
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import (
    AbortRequest,
    ControlReply,
    ControlRequest,
    EmbeddingReqInput,
    EngineFailed,
    EngineRequest,
    GenerateReqInput,
    StepOutput,
)
from sglang.srt.managers.native_output import NativeOutput
from sglang.srt.managers.request_builder import AnswerMarks, RequestBuilder
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.managers.request_watch import RequestWatch
from sglang.srt.managers.sessions import Sessions
from sglang.srt.managers.token_text import token_text

if TYPE_CHECKING:
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.metrics.server_metrics import ServerMetrics
    from sglang.srt.metrics.tracing import RequestTracer
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_SEQUENCES = 65536
"""Sequences alive at the same time; more are refused with status 429."""
SEND_SLICE = 256
"""Sequences sent before other tasks of the loop get a turn."""
DRAIN_POLL_SECONDS = 0.05


class TokenizerManager:
    """Owns all requests of the API process."""

    def __init__(
        self,
        server_args: ServerArgs,
        model_config: ModelConfig,
        tokenizer: Tokenizer | None,
        engine: EngineClient,
        *,
        max_sequence_tokens: int | None = None,
        on_engine_death: Callable[[str], None] | None = None,
        metrics: ServerMetrics | None = None,
        tracer: RequestTracer | None = None,
    ) -> None:
        """``max_sequence_tokens`` is what the engine's memory holds, if that may be less than
        the model's context. ``on_engine_death`` is called once, on the loop, with the reason.
        """
        self.server_args = server_args
        self.model_config = model_config
        self.tokenizer = tokenizer
        self.dead_reason: str | None = None
        """Why the engine is gone; None while it lives."""
        self.steps_received = 0
        """Grows as long as the engine makes progress."""
        self.draining = False
        """No new requests are taken, since the server is about to end."""
        self.num_queued = 0
        """Sequences that no step has taken up yet."""
        self.metrics = metrics
        self.sessions = Sessions(lambda state: self._end([state], _cancel), engine.send)
        self._builder = RequestBuilder(
            server_args, model_config, tokenizer, self.sessions, max_sequence_tokens
        )
        self._engine = engine
        self._on_engine_death = on_engine_death
        self._sequences: dict[str, tuple[SequenceState, RequestGroup]] = {}
        self._named: dict[str, list[SequenceState]] = {}
        self._controls: dict[int, asyncio.Future[ControlReply]] = {}
        self._next_control = 0
        self._receiver: asyncio.Task[None] | None = None
        self._watch = RequestWatch(server_args, metrics, tracer)
        self._state_report: asyncio.Task[dict[str, Any]] | None = None

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin to listen to the engine, on the running loop."""
        if self._receiver is None:
            self._receiver = asyncio.get_running_loop().create_task(self._receive_loop())

    async def stop(self) -> None:
        """Fail what is still running, stop listening and close the engine. Idempotent."""
        if self._receiver is not None:
            self._receiver.cancel()
            await asyncio.gather(self._receiver, return_exceptions=True)
        self._die_of("the server is shutting down")
        self._builder.close()
        self._engine.close()
        await asyncio.to_thread(self._watch.close)

    async def drain(self, timeout: float) -> bool:
        """Take no new requests and wait until all have ended.

        Those that have not after ``timeout`` seconds are ended with an error; then the result is
        False.
        """
        self.draining = True
        deadline = time.monotonic() + timeout
        while self._sequences and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_POLL_SECONDS)
        finished = not self._sequences
        error = RequestError("the server is shutting down", status=503, code="shutting_down")
        self._end(self._all_states(), lambda state: state.fail(error))
        return finished

    @property
    def num_sequences(self) -> int:
        """Sequences that are waiting or running."""
        return len(self._sequences)

    # ------------------------------------------------------------------ requests

    async def generate(self, obj: GenerateReqInput) -> AsyncGenerator[Any, None]:
        """Native answers to ``obj``.

        A stream yields cumulative chunks (dicts); otherwise there is one item: a dict for a
        single sequence, a list of dicts for a batch or n > 1. Leaving the iterator early aborts
        the request.

        Raises:
            RequestError: the request is wrong, or the engine cannot serve it.
        """
        if obj.return_hidden_states is None and self.server_args.return_hidden_states:
            obj = dataclasses.replace(obj, return_hidden_states=True)
        group = await self.submit(obj)
        text_of = None
        if obj.return_text_in_logprobs and self.tokenizer is not None:
            text_of = partial(token_text, self.tokenizer)
        native = NativeOutput(group, text_of)
        try:
            if not obj.stream:
                await group.wait()
                if all(state.failure for state in group.states):
                    _raise_failure(group.states[0])
                if group.is_single:
                    yield native.answer(group.states[0])
                else:
                    yield [native.answer(state) for state in group.states]
                return
            while (state := await group.next_change()) is not None:
                if group.is_single:
                    _raise_failure(state)
                yield native.chunk(state)
        finally:
            self.drop(group)

    async def submit(self, obj: GenerateReqInput, marks: AnswerMarks | None = None) -> RequestGroup:
        """Check, tokenize and send a request. The caller reads the group and drops it at last.

        Raises:
            RequestError: the request is wrong, too many are running, or the engine is gone.
        """
        self.check_generates()
        return await self._submit(obj, marks)

    def check_generates(self) -> None:
        """Raises RequestError if the model gives embeddings or scores instead."""
        if not self.model_config.is_generation:
            raise RequestError(
                "this server gives embeddings or scores (/v1/embeddings, /encode, /classify): its "
                "model generates nothing",
                code="not_a_generation_model",
            )

    async def embed(self, obj: EmbeddingReqInput) -> RequestGroup:
        """The finished sequences of ``obj``, each of which has an embedding, or scores.

        Raises:
            RequestError: the request is wrong, or the engine cannot serve all of it.
        """
        group = await self._submit(embedding_prompts(obj, self.model_config), None)
        try:
            await group.wait()
            for state in group.states:
                _raise_failure(state)
                if state.embedding is None:
                    raise RequestError("the request was aborted", code="aborted")
            return group
        finally:
            self.drop(group)

    async def _submit(self, obj: GenerateReqInput, marks: AnswerMarks | None) -> RequestGroup:
        created = time.monotonic()
        self._check_room(1)
        group = await self._builder.build(obj, marks)
        self._check_room(len(group.states))
        self._register(group)
        self._set_deadline(group, obj, created)
        if self._watch.is_needed:
            self._watch.sent(group, obj, created, time.monotonic())
        try:
            await self._send(group)
        except BaseException:
            self.drop(group)
            raise
        return group

    def drop(self, group: RequestGroup) -> None:
        """Nobody reads ``group`` any more: stop what is still running. Idempotent."""
        if not group.finished:
            self._end(group.states, _cancel)

    def abort(self, rid: str) -> bool:
        """Stop the request or sequence called ``rid``; False if there is none (any more)."""
        if rid in self._named:
            self._end(self._named[rid], _cancel)
            return True
        if rid in self._sequences:
            self._end([self._sequences[rid][0]], _cancel)
            return True
        return False

    async def run_in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something that takes its time, such as a chat template, off the loop."""
        return await self._builder.run_in_thread(function, *args)

    # ------------------------------------------------------------------ control

    async def flush_cache(self) -> ControlReply:
        """Drop the prefix cache as far as nothing uses it."""
        return await self.control(partial(ControlRequest, op="flush_cache"))

    async def get_state(self) -> dict[str, Any]:
        """Gauges and counters of the engine."""
        return (await self.control(partial(ControlRequest, op="get_state"))).payload

    async def recent_state(self, timeout: float) -> dict[str, Any]:
        """The same, but empty if the engine does not answer in time or is gone.

        It answers between two steps; how many callers there are makes no difference to it.
        """
        if self._state_report is None or self._state_report.done():
            self._state_report = asyncio.get_running_loop().create_task(self._report())
        report = self._state_report
        done, _ = await asyncio.wait({report}, timeout=timeout)
        return report.result() if done else {}

    async def _report(self) -> dict[str, Any]:
        try:
            return await self.get_state()
        except RequestError:  # the engine is gone
            return {}

    async def control(self, make: Callable[[int], EngineRequest]) -> ControlReply:
        """The engine's answer to the message that ``make`` makes of a number.

        Raises:
            RequestError: the engine is gone.
        """
        self._check_alive()
        self._next_control += 1
        number = self._next_control
        future: asyncio.Future[ControlReply] = asyncio.get_running_loop().create_future()
        self._controls[number] = future
        try:
            self._engine.send(make(number))
            return await future
        finally:
            self._controls.pop(number, None)

    # ------------------------------------------------------------------ down

    def _check_alive(self) -> None:
        if self.dead_reason is not None:
            raise RequestError(self.dead_reason, status=503, code="engine_dead")

    def _check_room(self, more: int) -> None:
        """Whether a request of ``more`` sequences may come in now."""
        self._check_alive()
        if self.draining:
            raise RequestError("the server is shutting down", status=503, code="shutting_down")
        if len(self._sequences) + more > MAX_SEQUENCES:
            raise RequestError(
                f"{len(self._sequences)} sequences are waiting or running; retry later",
                status=429,
                code="overloaded",
            )
        limit = self.server_args.max_queued_requests
        if limit is None or self.num_queued + more <= limit:
            return
        if more > limit:
            raise RequestError(
                f"the request has {more} sequences; the server lets at most {limit} wait "
                "(max_queued_requests)"
            )
        raise RequestError(
            f"{self.num_queued} sequences are waiting, of at most {limit} (max_queued_requests); "
            "retry later",
            status=429,
            code="queue_full",
        )

    def _register(self, group: RequestGroup) -> None:
        for rid in [*(state.rid for state in group.states), *group.named]:
            if rid in self._sequences or rid in self._named:
                raise RequestError(f"rid {rid!r} is in use by another request", param="rid")
        self._named.update(group.named)
        for state in group.states:
            self._sequences[state.rid] = (state, group)
        self.num_queued += len(group.states)
        self.sessions.begin(group.states)

    def _set_deadline(self, group: RequestGroup, obj: GenerateReqInput, created: float) -> None:
        """End the request when its time, counted from ``created``, is over."""
        limits = [self.server_args.request_timeout, obj.timeout]
        seconds = min((limit for limit in limits if limit is not None), default=None)
        if seconds is not None:
            left = max(created + seconds - time.monotonic(), 0.0)
            loop = asyncio.get_running_loop()
            group.deadline = loop.call_later(left, self._time_out, group, seconds)

    def _time_out(self, group: RequestGroup, seconds: float) -> None:
        error = RequestError(
            f"the request was not finished within {seconds:g} seconds", status=504, code="timeout"
        )
        self._end(group.states, lambda state: state.fail(error))

    async def _send(self, group: RequestGroup) -> None:
        for i, state in enumerate(group.states, start=1):
            if state.finish is None:
                self._engine.send(state.message)
            if i % SEND_SLICE == 0:
                await asyncio.sleep(0)

    # ------------------------------------------------------------------ up

    async def _receive_loop(self) -> None:
        try:
            while True:
                reply = await self._engine.receive()
                if isinstance(reply, StepOutput):
                    self._on_step(reply)
                elif isinstance(reply, ControlReply):
                    future = self._controls.get(reply.id)
                    if future is not None and not future.done():
                        future.set_result(reply)
                elif isinstance(reply, EngineFailed):
                    raise EngineDead(reply.message)
        except EngineDead as error:
            self._die(str(error))
        except Exception as error:
            logger.exception("reading from the engine failed")
            self._die(f"reading from the engine failed: {type(error).__name__}")

    def _on_step(self, step: StepOutput) -> None:
        """Hand each sequence its tokens; each reader is woken once."""
        self.steps_received += 1
        now = time.monotonic()
        for rid in step.admitted:
            if rid in self._sequences:
                self._leave_queue(self._sequences[rid][0], step.started)
        for rid, values in step.hidden_states.items():
            if rid in self._sequences:
                self._sequences[rid][0].add_hidden_states(values)
        interval = self.server_args.stream_interval
        for output in step.outputs:
            found = self._sequences.get(output.rid)
            if found is None:
                continue
            state, group = found
            try:
                if state.absorb(output):
                    self._engine.send(AbortRequest(output.rid))
            except Exception:
                logger.exception("cannot decode the output of request %s", output.rid)
                state.fail(RequestError("internal error while decoding the output", status=500))
                self._engine.send(AbortRequest(output.rid))
            if state.times is not None:
                self._watch.received(state, len(output.token_ids), now)
            self._settle(state, group, interval)

    def _leave_queue(self, state: SequenceState, at: float) -> None:
        if state.queued:
            state.queued = False
            self.num_queued -= 1
            self._watch.admitted(state, at)

    def _settle(self, state: SequenceState, group: RequestGroup, interval: int = 1) -> None:
        """Tell the reader that ``state`` changed, and forget it if it has ended."""
        group.notify(state, interval)
        if state.finish is None:
            return
        self._sequences.pop(state.rid, None)
        self.sessions.ended(state)
        if state.queued:
            state.queued = False
            self.num_queued -= 1
        if group.finished:
            for name in group.named:
                self._named.pop(name, None)
            if group.deadline is not None:
                group.deadline.cancel()
        if state.times is not None:
            self._watch.ended(state, group, time.monotonic())

    def _end(self, states: Iterable[SequenceState], end: Callable[[SequenceState], None]) -> None:
        """Stop sequences before their time; ``end`` says what becomes of them."""
        for state in states:
            found = self._sequences.get(state.rid)
            if found is None or found[0] is not state:
                continue
            if self.dead_reason is None:
                self._engine.send(AbortRequest(state.rid))
            end(state)
            self._settle(*found)

    def _all_states(self) -> list[SequenceState]:
        return [state for state, _ in self._sequences.values()]

    def _die(self, reason: str) -> None:
        logger.error("the engine is gone: %s", reason)
        self._die_of(f"the engine has stopped: {reason}")
        if self._on_engine_death is not None:
            self._on_engine_death(reason)

    def _die_of(self, reason: str) -> None:
        """From now on nobody is served, and those who wait are told why."""
        self.dead_reason = self.dead_reason or reason
        error = RequestError(self.dead_reason, status=503, code="engine_dead")
        self._end(self._all_states(), lambda state: state.fail(error))
        for future in self._controls.values():
            if not future.done():
                future.set_exception(error)


def _cancel(state: SequenceState) -> None:
    state.cancel("aborted by the client")


def _raise_failure(state: SequenceState) -> None:
    if state.failure is not None:
        raise state.failure
