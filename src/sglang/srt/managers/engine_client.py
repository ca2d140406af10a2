"""The API process' end of the wire: starts the engine process and exchanges messages with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections import deque
from typing import Protocol

from sglang.srt.managers.engine_child import EngineChild, start_engine_child
from sglang.srt.managers.io_struct import (
    EngineFailed,
    EngineReady,
    EngineReply,
    EngineRequest,
    decode_reply,
    encode,
)
from sglang.srt.managers.wire import Wire, WireClosed
from sglang.srt.models.external import describe_external_models
from sglang.srt.server_args import ServerArgs


class EngineDead(RuntimeError):
    """The engine process has ended; no answer will come any more."""


class EngineClient(Protocol):
    """What the API side needs of an engine; tests use one in the same process."""

    def send(self, message: EngineRequest) -> None:
        """Hand a message over; never blocks."""
        ...

    async def receive(self) -> EngineReply:
        """The next message from the engine.

        Raises:
            EngineDead: the engine has ended.
        """
        ...

    def close(self) -> None:
        """Stop the engine and free what it used. May be called again."""
        ...


class EngineProcess:
    """An engine in a child process, connected by a pair of sockets.

    To be created and used within one running event loop.
    """

    def __init__(self, args: ServerArgs, model_path: str, child: EngineChild | None = None) -> None:
        """``child``: one that was started already, which is this engine's from now on."""
        child = child or start_engine_child(args)
        self.process = child.process
        self._wire = Wire(child.wire)
        self._inbox: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._dead: str | None = None
        self._closing = False
        self._is_ready = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._wire.fileno(), self._on_readable)
        setup = {
            "server_args": args.to_json(),
            "model_path": model_path,
            "descriptor": child.descriptor,
            "external_models": describe_external_models(),
        }
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the watching thread will tell
            self.process.stdin.write(json.dumps(setup).encode() + b"\n")
            self.process.stdin.flush()
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()

    async def wait_ready(self) -> EngineReady:
        """Wait until the model is loaded.

        Raises:
            EngineDead: it could not be loaded; the message says why.
        """
        reply = await self.receive()
        if isinstance(reply, EngineFailed):
            raise EngineDead(reply.message)
        assert isinstance(reply, EngineReady)
        self._is_ready = True
        return reply

    def send(self, message: EngineRequest) -> None:
        if self._dead is None and not self._closing:
            with contextlib.suppress(WireClosed):  # whose reason is about to be known
                self._wire.send(encode(message))
                if self._wire.has_unsent:
                    self._loop.add_writer(self._wire.fileno(), self._on_writable)

    async def receive(self) -> EngineReply:
        while not self._inbox:
            if self._dead is not None:
                raise EngineDead(self._dead)
            self._waiter = self._loop.create_future()
            await self._waiter
        reply: EngineReply = decode_reply(self._inbox.popleft())
        return reply

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if not self._is_ready:  # it has nothing to lose, and is too busy to look at the pipe
            self.process.kill()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stop_watching_wire()
        self._wire.close()

    # ----------------------------------------------------------------- inside

    def _watch(self) -> None:
        """Runs in a thread until the child ends."""
        code = self.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._on_exit, code)

    def _on_exit(self, code: int) -> None:
        if self._closing:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
        # What it said before it ended, above all why it failed to start, comes first.
        self._loop.call_later(0.2, self._declare_dead, f"the engine process {how}")

    def _declare_dead(self, reason: str) -> None:
        self._dead = reason
        self._wake()

    def _on_readable(self) -> None:
        try:
            self._inbox += self._wire.receive()
        except WireClosed:  # why, the watching thread will tell
            self._stop_watching_wire()
        if self._inbox:
            self._wake()

    def _on_writable(self) -> None:
        with contextlib.suppress(WireClosed):
            self._wire.flush()
            if self._wire.has_unsent:
                return
        self._loop.remove_writer(self._wire.fileno())

    def _stop_watching_wire(self) -> None:
        if not self._loop.is_closed() and self._wire.fileno() >= 0:
            self._loop.remove_reader(self._wire.fileno())
            self._loop.remove_writer(self._wire.fileno())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
