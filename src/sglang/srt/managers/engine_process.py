"""The engine process: scheduler and model behind a socket.

Started by ``engine_child`` through ``engine_main``; ``EngineProcess`` (``engine_client``) sends its
configuration as one line of JSON on standard input, whose end means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import mmap
import os
import select
import socket
import sys
import threading
import time
from typing import Any, NoReturn

from sglang.srt.constrained.store import GrammarStore
from sglang.srt.logs.setup import configure_logging
from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import (
    EngineFailed,
    EngineReady,
    EngineReply,
    StartProfile,
    StepOutput,
    StopProfile,
    UpdateWeights,
    decode_request,
    encode,
)
from sglang.srt.managers.profiling import StepProfiler
from sglang.srt.managers.step_log import StepLog
from sglang.srt.managers.weight_update import WeightUpdates
from sglang.srt.managers.wire import Wire, WireClosed
from sglang.srt.models.external import register_external_models
from sglang.srt.server_args import ServerArgs

logger = logging.getLogger(__name__)

IDLE_POLL_MS = 1000
SIGN_OF_LIFE_S = 1.0
"""Steps that have nothing to tell, such as those of a long prompt, are told of this often."""
LAST_WORDS_S = 0.5
"""How long the process waits, before it ends, for the API side to take its last message."""


class ApiConnection:
    """The engine's end of the wire."""

    def __init__(self, descriptor: int) -> None:
        self._wire = Wire(socket.socket(fileno=descriptor))
        self._poll = select.poll()
        self._grammars: GrammarStore | None = None

    def wake_for(self, grammars: GrammarStore) -> None:
        """Let :meth:`receive` stop waiting also when a grammar is ready."""
        self._grammars = grammars
        self._poll.register(grammars, select.POLLIN)

    def send(self, message: EngineReply) -> None:
        """Hand a message over; never blocks."""
        self._wire.send(encode(message))

    def receive(self, *, wait: bool) -> list[bytes]:
        """Everything that has arrived; with ``wait``, at most a second for the first.

        Raises:
            WireClosed: the API process is gone.
        """
        if self._wire.has_unsent:
            self._wire.flush()
        if wait:
            unsent = select.POLLOUT if self._wire.has_unsent else 0
            self._poll.register(self._wire, select.POLLIN | unsent)
            if not self._poll.poll(IDLE_POLL_MS):
                return []
            if self._grammars is not None:
                self._grammars.drain()
        return self._wire.receive()

    def finish(self, message: EngineReply) -> None:
        """Send the last message, if there is still somebody to take it."""
        deadline = time.monotonic() + LAST_WORDS_S
        with contextlib.suppress(WireClosed):
            self._wire.send(encode(message))
            while self._wire.has_unsent and time.monotonic() < deadline:
                time.sleep(0.01)
                self._wire.flush()


class Watchdog:
    """Ends the process, with the stacks of all threads, when a step takes too long."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._busy_since: float | None = None
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def busy(self) -> None:
        self._busy_since = time.monotonic()

    def idle(self) -> None:
        self._busy_since = None

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._timeout / 4, 5.0))
            since = self._busy_since
            if since is not None and time.monotonic() - since > self._timeout:
                logger.critical("no step finished within %.0f s, giving up", self._timeout)
                faulthandler.dump_traceback(all_threads=True)
                os._exit(70)


def serve(engine: Engine, api: ApiConnection, watchdog: Watchdog, log: StepLog) -> NoReturn:
    """Receive, step, send, until the API process is gone (WireClosed)."""
    scheduler = engine.scheduler
    updates, profiler = WeightUpdates(engine), StepProfiler()
    if engine.grammars is not None:
        api.wake_for(engine.grammars)
        engine.grammars.warm_up()
    engine.on_idle()
    was_busy = False
    last_sent = 0.0
    while True:
        for data in api.receive(wait=scheduler.is_idle):
            message = decode_request(data)
            if isinstance(message, UpdateWeights):
                updates.ask(message)
            elif isinstance(message, StartProfile | StopProfile):
                api.send(profiler.receive(message))
            elif (reply := scheduler.receive(message)) is not None:
                reply.payload |= log.figures(scheduler)
                api.send(reply)
        while updates.is_due:
            api.send(updates.apply())
        if scheduler.is_idle:
            if was_busy:
                engine.on_idle()
                was_busy = False
            continue
        if not was_busy:
            log.after_idle(scheduler)
        was_busy = True
        watchdog.busy()
        started = time.monotonic()
        with profiler.step():
            outputs = scheduler.step()
        ended = time.monotonic()
        watchdog.idle()
        hidden = scheduler.hidden_states
        if outputs or scheduler.admitted or hidden or ended - last_sent > SIGN_OF_LIFE_S:
            api.send(StepOutput(outputs, scheduler.admitted, started, hidden))
            last_sent = ended
        log.after_step(scheduler, ended - started)
        profiler.after_step()


def run(memory: mmap.mmap | None = None) -> int:
    """The life of the child process; ``memory`` is for the weights."""
    faulthandler.enable()
    line = sys.stdin.buffer.readline()
    if not line:  # the parent has thought better of it
        return 0
    setup = json.loads(line)
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    args = ServerArgs.from_json(setup["server_args"])
    configure_logging(args.log_level, form=args.log_format)
    api = ApiConnection(setup["descriptor"])
    engine = _build(args, setup, api, memory)
    del memory  # it is freed with the last tensor in it
    if engine is None:
        return 1
    watchdog = Watchdog(args.watchdog_timeout)
    try:
        serve(
            engine,
            api,
            watchdog,
            StepLog(args.decode_log_interval, show_time_cost=args.show_time_cost),
        )
    except WireClosed:  # nobody is left to serve
        return 0
    except Exception as error:
        logger.exception("the engine failed")
        api.finish(EngineFailed(f"{type(error).__name__}: {error}"))
        return 1


def _build(
    args: ServerArgs, setup: dict[str, Any], api: ApiConnection, memory: mmap.mmap | None
) -> Engine | None:
    try:
        register_external_models(setup["external_models"])
        engine = build_engine(args, setup["model_path"], memory)
    except (ValueError, OSError) as error:  # what users can mend needs no traceback
        api.finish(EngineFailed(str(error)))
    except Exception as error:
        logger.exception("the engine could not start")
        api.finish(EngineFailed(f"{type(error).__name__}: {error}"))
    else:
        api.send(EngineReady(engine.info))
        return engine
    return None


def _exit_with_parent() -> None:
    """Wait for the end of standard input: the parent has closed it, or died."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)
