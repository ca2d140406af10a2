"""The engine process: scheduler and model behind two sockets.

Started by ``EngineProcess`` (``engine_client``) with its configuration as one line of JSON on
standard input; the end of standard input means that the parent is gone.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
import time
from typing import Any

import zmq

from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import (
    EngineFailed,
    EngineReady,
    EngineReply,
    StepOutput,
    decode_request,
    encode,
)
from sglang.srt.managers.scheduler import Scheduler
from sglang.srt.managers.step_log import StepLog
from sglang.srt.models.external import register_external_models
from sglang.srt.server_args import ServerArgs

logger = logging.getLogger(__name__)

IDLE_POLL_MS = 1000


class Wire:
    """The sockets to the API process."""

    def __init__(self, directory: str) -> None:
        context = zmq.Context()
        self._requests = context.socket(zmq.PULL)
        self._replies = context.socket(zmq.PUSH)
        for socket, name in ((self._requests, "requests"), (self._replies, "replies")):
            socket.set_hwm(0)
            socket.connect(f"ipc://{directory}/{name}")

    def send(self, message: EngineReply) -> None:
        self._replies.send(encode(message))

    def receive(self, *, wait: bool) -> list[bytes]:
        """Everything that has arrived; with ``wait``, at most a second for the first."""
        messages: list[bytes] = []
        if wait and not self._requests.poll(IDLE_POLL_MS):
            return messages
        while True:
            try:
                messages.append(self._requests.recv(zmq.NOBLOCK))
            except zmq.Again:
                return messages


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


def serve(scheduler: Scheduler, wire: Wire, watchdog: Watchdog, log: StepLog) -> None:
    """Receive, step, send, for ever."""
    was_busy = False
    while True:
        for data in wire.receive(wait=scheduler.is_idle):
            reply = scheduler.receive(decode_request(data))
            if reply is not None:
                wire.send(reply)
        if scheduler.is_idle:
            if was_busy:
                scheduler.on_idle()
                was_busy = False
            continue
        if not was_busy:
            log.after_idle()
        was_busy = True
        watchdog.busy()
        outputs = scheduler.step()
        watchdog.idle()
        if outputs:
            wire.send(StepOutput(outputs))
        log.after_step(scheduler)


def main() -> int:
    """Entry point of the child process."""
    faulthandler.enable()
    setup = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    args = ServerArgs.from_json(setup["server_args"])
    logging.basicConfig(
        level=args.log_level.upper(),
        format="[%(asctime)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    wire = Wire(setup["directory"])
    engine = _build(args, setup, wire)
    if engine is None:
        return 1
    watchdog = Watchdog(args.watchdog_timeout)
    try:
        serve(engine.scheduler, wire, watchdog, StepLog(args.decode_log_interval))
    except Exception as error:
        logger.exception("the engine failed")
        wire.send(EngineFailed(f"{type(error).__name__}: {error}"))
        time.sleep(0.5)  # let the message leave
        return 1
    return 0


def _build(args: ServerArgs, setup: dict[str, Any], wire: Wire) -> Engine | None:
    try:
        register_external_models(setup["external_models"])
        engine = build_engine(args, setup["model_path"])
    except (ValueError, OSError) as error:  # what users can mend needs no traceback
        wire.send(EngineFailed(str(error)))
    except Exception as error:
        logger.exception("the engine could not start")
        wire.send(EngineFailed(f"{type(error).__name__}: {error}"))
    else:
        wire.send(EngineReady(engine.info))
        return engine
    time.sleep(0.5)
    return None


def _exit_with_parent() -> None:
    """Wait for the end of standard input: the parent has closed it, or died."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
