"""The HTTP server: a model behind an application behind a socket."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from sglang.srt.entrypoints.app import create_app
from sglang.srt.entrypoints.http_protocol import BoundedHttpProtocol
from sglang.srt.entrypoints.native import probe
from sglang.srt.entrypoints.runtime import start_runtime
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.engine_client import EngineDead
from sglang.srt.server_args import ServerArgs

__all__ = ["create_app", "launch_server"]

logger = logging.getLogger(__name__)

READY_MESSAGE = "The server is fired up and ready to roll!"
GRACE_SECONDS = 5
"""How long running requests may go on after the signal to stop."""
KEEP_ALIVE_SECONDS = 75
WARMUP_SECONDS = 600.0
MAX_PENDING_CONNECTIONS = 2048


def launch_server(server_args: ServerArgs) -> None:
    """Serve until interrupted.

    Raises:
        SystemExit: with status 1, after a line that says why, if the server cannot start or
            its engine dies.
    """
    configure_logging(server_args.log_level)
    try:
        status = _run(server_args)
    except (EngineDead, ValueError, OSError) as error:
        # A wrong model or port is the user's to mend: one line, no stack.
        print(f"error: {error}", file=sys.stderr, flush=True)
        status = 1
    except KeyboardInterrupt:
        status = 130
    if status:
        raise SystemExit(status)


def configure_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="[%(asctime)s] %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )


def _run(args: ServerArgs) -> int:
    """Run the server on uvloop where there is one; returns the exit status."""
    try:
        import uvloop
    except ImportError:  # not built for every platform
        return asyncio.run(_serve(args))
    return uvloop.run(_serve(args))


async def _serve(args: ServerArgs) -> int:
    listener = bind(args.host, args.port)
    with contextlib.closing(listener):
        server: Server | None = None
        deaths: list[str] = []

        def on_engine_death(reason: str) -> None:
            deaths.append(reason)
            if server is not None:
                server.should_exit = True

        with _tidy_termination():
            state = await start_runtime(args, on_engine_death)
        warn_if_open(args)
        server = Server(args, state, on_ready=lambda: print(READY_MESSAGE, flush=True))
        try:
            await server.serve(sockets=[listener])
        finally:
            await state.manager.stop()
    return 0 if server.was_ready and not deaths else 1


class Server(uvicorn.Server):
    """uvicorn with a warm-up between listening and the message that all is ready."""

    def __init__(self, args: ServerArgs, state: ServerState, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(state),
                host=args.host,
                port=args.port,
                log_level=args.log_level_http,
                log_config=None,
                access_log=args.log_level_http in ("debug", "info"),
                loop="none",
                http=BoundedHttpProtocol,
                backlog=MAX_PENDING_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
                server_header=False,
            )
        )
        self.was_ready = False
        self._state = state
        self._on_ready = on_ready
        self._warm_up_task: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._warm_up_task = asyncio.get_running_loop().create_task(self._warm_up())

    async def _warm_up(self) -> None:
        if await probe(self._state, WARMUP_SECONDS):
            self.was_ready = True
            self._on_ready()
        elif not self.should_exit:
            logger.error("the engine did not answer the first request")
            self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port in use shows before a model is loaded.

    Raises:
        OSError: it cannot be bound; the message names host and port.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A name may have addresses of both kinds; most clients try IPv4.
        family, kind, protocol, _, address = min(found, key=lambda a: a[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    listener.set_inheritable(False)
    return listener


def warn_if_open(args: ServerArgs) -> None:
    """Say loudly when anybody on the network may use the server."""
    if args.api_key is None and not _is_loopback(args.host):
        logger.warning(
            "the server listens on %s without --api-key: everyone who can reach it can use it",
            args.host,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextlib.contextmanager
def _tidy_termination() -> Iterator[None]:
    """While the model loads, SIGTERM ends the program tidily."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
