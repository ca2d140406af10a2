"""The HTTP server: a model behind an application behind a socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

import uvicorn

from sglang.srt.entrypoints.app import create_app, running
from sglang.srt.entrypoints.http_protocol import BoundedHttpProtocol
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.listener import (
    bind,
    bind_unix,
    check_certificate,
    remove_unix,
    warn_if_open,
)
from sglang.srt.entrypoints.probes import probe
from sglang.srt.entrypoints.runtime import make_metrics, start_runtime
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.logs.setup import configure_logging
from sglang.srt.managers.engine_child import EngineChild
from sglang.srt.managers.engine_client import EngineDead
from sglang.srt.server_args import ServerArgs

__all__ = ["create_app", "launch_server"]

logger = logging.getLogger(__name__)

READY_MESSAGE = "The server is fired up and ready to roll!"
GRACE_SECONDS = 5
"""How long answers whose requests have ended may take to reach their clients."""
KEEP_ALIVE_SECONDS = 75
WARMUP_SECONDS = 600.0
MAX_PENDING_CONNECTIONS = 2048


def launch_server(server_args: ServerArgs, child: EngineChild | None = None) -> None:
    """Serve until told to stop by SIGTERM or Ctrl-C.

    ``child``: the process to run the engine in, started beforehand to save time.

    Raises:
        SystemExit: with status 1, after a line that says why, if the server cannot start or
            its engine dies.
    """
    configure_logging(
        server_args.log_level, form=server_args.log_format, level_http=server_args.log_level_http
    )
    try:
        status = _run(server_args, child)
    except (EngineDead, ValueError, OSError) as error:
        # A wrong model or port is the user's to mend: one line, no stack.
        print(f"error: {error}", file=sys.stderr, flush=True)
        status = 1
    except KeyboardInterrupt:
        status = 130
    if status:
        raise SystemExit(status)


def _run(args: ServerArgs, child: EngineChild | None) -> int:
    """Run the server on uvloop where there is one; returns the exit status."""
    try:
        import uvloop
    except ImportError:  # not built for every platform
        return asyncio.run(_serve(args, child))
    return uvloop.run(_serve(args, child))


async def _serve(args: ServerArgs, child: EngineChild | None) -> int:
    """Listen, load the model, serve. The probes answer from the first moment on."""
    check_certificate(args)
    lifecycle = Lifecycle(args, make_metrics(args))
    with _listening(args) as listener:
        server = Server(lifecycle)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _load_and_serve(lifecycle, server, serving, child)
        finally:
            server.should_exit = True
            await serving
    return 1 if server.failed else 0


async def _load_and_serve(
    lifecycle: Lifecycle,
    server: Server,
    serving: asyncio.Task[None],
    child: EngineChild | None,
) -> None:
    """Fill ``lifecycle`` with a model; returns when the server has ended, for whatever reason."""
    args = lifecycle.server_args
    loading = asyncio.create_task(
        start_runtime(args, server.on_engine_death, lifecycle.metrics, child)
    )
    await asyncio.wait({loading, serving}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():  # told to stop
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        return
    async with running(loading.result()) as state:
        warn_if_open(args)
        warming_up = asyncio.create_task(probe(state, WARMUP_SECONDS))
        await asyncio.wait({warming_up, serving}, return_when=asyncio.FIRST_COMPLETED)
        if warming_up.done() and warming_up.result():
            lifecycle.state = state
            print(READY_MESSAGE, flush=True)
        elif not serving.done():
            logger.error("the engine did not answer the first request")
            server.fail()
        await serving


class Server(uvicorn.Server):
    """uvicorn with a way to end that loses no request."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        args = lifecycle.server_args
        super().__init__(
            uvicorn.Config(
                create_app(lifecycle),
                host=args.host,
                port=args.port,
                log_level=args.log_level_http,
                log_config=None,
                access_log=False,
                loop="none",
                http=BoundedHttpProtocol,
                backlog=MAX_PENDING_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
                ssl_certfile=args.ssl_certfile,
                ssl_keyfile=args.ssl_keyfile,
            )
        )
        self.failed = False
        """The server ended although nobody told it to."""
        self._lifecycle = lifecycle
        self._stopping: asyncio.Task[None] | None = None

    def on_engine_death(self, reason: str) -> None:
        self.fail()

    def fail(self) -> None:
        """End with status 1."""
        self.failed = True
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal stops the server, the second ends the process."""
        loop = asyncio.get_running_loop()
        handled = (signal.SIGINT, signal.SIGTERM)
        for number in handled:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        if self._stopping is not None:
            os._exit(128 + number)  # the engine notices that we are gone
        self._stopping = asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        state = self._lifecycle.state
        if state is not None:
            left = await _drain(state)
            self.config.timeout_graceful_shutdown = max(GRACE_SECONDS, int(left))
        self.should_exit = True


async def _drain(state: ServerState) -> float:
    """Let running requests end; returns how many seconds of their time are left."""
    timeout = state.server_args.drain_timeout
    started = time.monotonic()
    manager = state.manager
    manager.draining = True
    # Its lines are no requests that somebody waits for: the next server goes on with them.
    await state.batches.stop()
    if manager.num_sequences:
        logger.info(
            "stopping: %d sequences are running and may take %g s; a second signal ends them",
            manager.num_sequences,
            timeout,
        )
    if not await manager.drain(timeout):
        logger.warning("requests were ended that took longer than %g s (drain_timeout)", timeout)
    return max(0.0, started + timeout - time.monotonic())


@contextlib.contextmanager
def _listening(args: ServerArgs) -> Iterator[socket.socket]:
    listener = bind(args.host, args.port) if args.uds is None else bind_unix(args.uds)
    with contextlib.closing(listener):
        yield listener
    if args.uds is not None:
        remove_unix(args.uds)
