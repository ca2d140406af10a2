"""The API side of every request: text to tokens on the way down, tokens to text on the way up.

Runs on one asyncio loop. Has a request checked and tokenized, sends a message for each sequence
to the engine, and turns the engine's step outputs into text for whoever waits. Knows neither
HTTP nor tensors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from sglang.srt.managers.engine_client import EngineClient, EngineDead
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import (
    AbortRequest,
    ControlReply,
    ControlRequest,
    EngineFailed,
    GenerateReqInput,
    StepOutput,
)
from sglang.srt.managers.native_output import NativeOutput
from sglang.srt.managers.request_builder import RequestBuilder
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.managers.token_text import token_text

if TYPE_CHECKING:
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_SEQUENCES = 65536
"""Sequences alive at the same time; more are refused with status 429."""
SEND_SLICE = 256
"""Sequences sent before other tasks of the loop get a turn."""


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
        self._builder = RequestBuilder(server_args, model_config, tokenizer, max_sequence_tokens)
        self._engine = engine
        self._on_engine_death = on_engine_death
        self._sequences: dict[str, tuple[SequenceState, RequestGroup]] = {}
        self._named: dict[str, list[SequenceState]] = {}
        self._controls: dict[int, asyncio.Future[ControlReply]] = {}
        self._next_control = 0
        self._receiver: asyncio.Task[None] | None = None

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
        self._fail_all("the server is shutting down")
        self._builder.close()
        self._engine.close()

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
        group = await self.submit(obj)
        text_of = None
        if obj.return_text_in_logprobs and self.tokenizer is not None:
            text_of = partial(token_text, self.tokenizer)
        native = NativeOutput(group, text_of)
        try:
            if not obj.stream:
                await group.wait()
                if group.is_single:
                    _raise_failure(group.states[0])
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

    async def submit(self, obj: GenerateReqInput) -> RequestGroup:
        """Check, tokenize and send a request. The caller reads the group and drops it at last.

        Raises:
            RequestError: the request is wrong, too many are running, or the engine is gone.
        """
        self._check_state()
        group = await self._builder.build(obj)
        self._check_state(len(group.states))
        self._register(group)
        if self.server_args.log_requests:
            logger.info("request %s: %s", [state.rid for state in group.states], obj)
        try:
            await self._send(group)
        except BaseException:
            self.drop(group)
            raise
        return group

    def drop(self, group: RequestGroup) -> None:
        """Nobody reads ``group`` any more: stop what is still running. Idempotent."""
        if not group.finished:
            self._abort(group.states)

    def abort(self, rid: str) -> bool:
        """Stop the request or sequence called ``rid``; False if there is none (any more)."""
        if rid in self._named:
            self._abort(self._named[rid])
            return True
        if rid in self._sequences:
            self._abort([self._sequences[rid][0]])
            return True
        return False

    async def run_in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run something that takes its time, such as a chat template, off the loop."""
        return await self._builder.run_in_thread(function, *args)

    # ------------------------------------------------------------------ control

    async def flush_cache(self) -> ControlReply:
        """Drop the prefix cache as far as nothing uses it."""
        return await self._control("flush_cache")

    async def get_state(self) -> dict[str, Any]:
        """Gauges and counters of the engine."""
        return (await self._control("get_state")).payload

    async def _control(self, op: Literal["flush_cache", "get_state"]) -> ControlReply:
        self._check_state()
        self._next_control += 1
        number = self._next_control
        future: asyncio.Future[ControlReply] = asyncio.get_running_loop().create_future()
        self._controls[number] = future
        try:
            self._engine.send(ControlRequest(number, op))
            return await future
        finally:
            self._controls.pop(number, None)

    # ------------------------------------------------------------------ down

    def _check_state(self, more: int = 0) -> None:
        if self.dead_reason is not None:
            raise RequestError(self.dead_reason, status=503, code="engine_dead")
        if len(self._sequences) + more > MAX_SEQUENCES:
            raise RequestError(
                f"{len(self._sequences)} sequences are waiting or running; retry later",
                status=429,
                code="overloaded",
            )

    def _register(self, group: RequestGroup) -> None:
        for rid in [*(state.rid for state in group.states), *group.named]:
            if rid in self._sequences or rid in self._named:
                raise RequestError(f"rid {rid!r} is in use by another request", param="rid")
        self._named.update(group.named)
        for state in group.states:
            self._sequences[state.rid] = (state, group)

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
            self._settle(state, group, interval)

    def _settle(self, state: SequenceState, group: RequestGroup, interval: int = 1) -> None:
        """Tell the reader that ``state`` changed, and forget it if it has ended."""
        group.notify(state, interval)
        if state.finish is None:
            return
        self._sequences.pop(state.rid, None)
        if group.finished:
            for name in group.named:
                self._named.pop(name, None)
        if self.server_args.log_requests:
            logger.info("finished %s: %s, %r", state.rid, state.finish, state.text)

    def _abort(self, states: list[SequenceState]) -> None:
        for state in states:
            found = self._sequences.get(state.rid)
            if found is None or found[0] is not state:
                continue
            if self.dead_reason is None:
                self._engine.send(AbortRequest(state.rid))
            state.cancel("aborted by the client")
            self._settle(*found)

    def _die(self, reason: str) -> None:
        logger.error("the engine is gone: %s", reason)
        self._fail_all(f"the engine has stopped: {reason}")
        if self._on_engine_death is not None:
            self._on_engine_death(reason)

    def _fail_all(self, reason: str) -> None:
        self.dead_reason = self.dead_reason or reason
        error = RequestError(self.dead_reason, status=503, code="engine_dead")
        for state, group in list(self._sequences.values()):
            state.fail(error)
            self._settle(state, group)
        for future in self._controls.values():
            if not future.done():
                future.set_exception(error)


def _raise_failure(state: SequenceState) -> None:
    if state.failure is not None:
        raise state.failure
