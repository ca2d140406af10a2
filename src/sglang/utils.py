"""Helpers that the documentation uses: start and stop servers, print, merge streams.

None of them needs the runtime to be installed, and importing this module imports nothing heavy.
"""

from __future__ import annotations

import atexit
import html
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any
from urllib.parse import urlsplit

_DEFAULT_PORT = 30000
_STOP_SECONDS = 15.0
"""How long a server may take to end by itself before it is killed."""


class ServerProcess(subprocess.Popen[str]):
    """A process started by :func:`execute_shell_command`, in a session of its own."""

    port: int | None = None
    reservation: socket.socket | None = None
    """Holds the port until the process ends, see :func:`reserve_port`."""


_started: list[ServerProcess] = []
"""What runs because of us: the only way for ``wait_for_server(url)`` to notice that the server
behind the url has died, and for the interpreter to leave nothing behind when it exits."""


def execute_shell_command(
    command: str, env: Mapping[str, str] | None = None, output: IO[str] | None = None
) -> ServerProcess:
    """Start a shell command and return at once.

    ``python`` and ``python3`` mean the running interpreter's environment. ``env`` is added to the
    environment; ``output`` takes what the command prints (default: where ours goes). The process
    ends with this interpreter, or earlier by :func:`terminate_process`.
    """
    environment = {**os.environ, **(env or {})}
    ours = os.path.dirname(sys.executable)
    environment["PATH"] = os.pathsep.join(filter(None, [ours, environment.get("PATH")]))
    process = ServerProcess(
        command.strip(),
        shell=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        start_new_session=True,
    )
    process.port = _port_in(command)
    _started.append(process)
    return process


def launch_server_cmd(
    command: str, host: str = "127.0.0.1", port: int | None = None
) -> tuple[ServerProcess, int]:
    """Start a server on a free port and return its process and the port.

    ``--port`` is appended to the command, and ``--host`` unless the command has one. A port that
    is given is taken as it is.
    """
    reservation = None
    if port is None:
        reservation = reserve_port()
        port = reservation.getsockname()[1]
    words = shlex.split(command)
    if "--host" not in words and not any(word.startswith("--host=") for word in words):
        command = f"{command.rstrip()} --host {shlex.quote(host)}"
    process = execute_shell_command(f"{command.rstrip()} --port {port}")
    process.port = port
    process.reservation = reservation
    return process, port


def reserve_port() -> socket.socket:
    """A socket bound to a free port, not listening.

    A server that sets SO_REUSEADDR, as they all do, can still bind the port, but the system
    hands it to nobody else while this socket is open.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("", 0))
    return reservation


def wait_for_server(base_url: str, timeout: float | None = None) -> None:
    """Return once the server at ``base_url`` answers ``/health``, with a printed notice.

    Raises ``TimeoutError`` after ``timeout`` seconds (None: no limit) and ``RuntimeError`` as
    soon as the server's process, if it was started from here, has ended.
    """
    wait_until_ready(base_url, timeout, _process_behind(base_url))
    print_highlight(
        "The server is ready. It runs beside this program and writes to the same output, so "
        "its log lines and the answers below appear together; usually it has a terminal of "
        "its own."
    )


def wait_until_ready(
    base_url: str, timeout: float | None = None, process: ServerProcess | None = None
) -> None:
    """The silent part of :func:`wait_for_server`, for a ``process`` that the caller knows."""
    import httpx

    deadline = None if timeout is None else time.monotonic() + timeout
    with httpx.Client(base_url=base_url, timeout=5, trust_env=False) as client:
        while not _is_healthy(client):
            if process is not None and process.poll() is not None:
                raise RuntimeError(
                    f"the server for {base_url} ended with exit status {process.returncode} "
                    "before it was ready; its output says why"
                )
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"no server was ready at {base_url} within {timeout} seconds")
            time.sleep(0.2)


def terminate_process(process: subprocess.Popen[Any], port: int | None = None) -> None:
    """End a process with everything it has started, and give its port back.

    Ends it politely first; kills what is left after 15 seconds. ``port`` is the number that
    :func:`launch_server_cmd` returned; it may be left out.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    _signal_tree(process, signal.SIGTERM)
    while _is_running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_tree(process, signal.SIGKILL)
    process.wait()
    if isinstance(process, ServerProcess):
        if process.reservation is not None:
            process.reservation.close()
        if process in _started:
            _started.remove(process)


def print_highlight(text: object) -> None:
    """Print a result so that it stands out: in bold in a notebook or a terminal."""
    if "ipykernel" in sys.modules:
        from IPython.display import HTML, display

        display(HTML(f"<strong style='color: #00008B'>{html.escape(str(text))}</strong>"))
    elif sys.stdout.isatty():
        print(f"\033[1m{text}\033[0m", flush=True)
    else:
        print(text, flush=True)


def stream_and_merge(llm: Any, prompt: str, sampling_params: dict[str, Any]) -> str:
    """Generate with ``llm`` (an :class:`sglang.Engine`), streaming, and return the whole text."""
    text = ""
    for chunk in llm.generate(prompt, sampling_params, stream=True):
        text += new_part(text, chunk["text"])
    return text


async def async_stream_and_merge(
    llm: Any, prompt: str, sampling_params: dict[str, Any]
) -> AsyncIterator[str]:
    """Generate with ``llm``, yielding every piece of the text once, as soon as it is there."""
    text = ""
    async for chunk in await llm.async_generate(prompt, sampling_params, stream=True):
        part = new_part(text, chunk["text"])
        text += part
        if part:
            yield part


def new_part(seen: str, chunk: str) -> str:
    """What ``chunk`` adds to the text ``seen`` so far.

    A chunk may repeat everything (streams are cumulative), or only the end of it.
    """
    if chunk.startswith(seen):
        return chunk[len(seen) :]
    for length in range(min(len(seen), len(chunk)), 0, -1):
        if seen.endswith(chunk[:length]):
            return chunk[length:]
    return chunk


def _is_healthy(client: Any) -> bool:
    import httpx

    try:
        return bool(client.get("/health").status_code == 200)
    except httpx.TransportError:
        return False


def _process_behind(base_url: str) -> ServerProcess | None:
    port = urlsplit(base_url).port
    return next((process for process in reversed(_started) if process.port == port), None)


def _port_in(command: str) -> int:
    ports = re.findall(r"--port[= ]+(\d+)", command)
    return int(ports[-1]) if ports else _DEFAULT_PORT


def _signal_tree(process: subprocess.Popen[Any], number: int) -> bool:
    """Signal the process and, where it leads a session as ours do, all that it started.

    False if there is nobody left to signal; the number 0 only asks.
    """
    try:
        if isinstance(process, ServerProcess):
            os.killpg(process.pid, number)
        elif process.poll() is None:
            os.kill(process.pid, number)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def _is_running(process: subprocess.Popen[Any]) -> bool:
    process.poll()  # lets an ended process go, which would count as running otherwise
    return _signal_tree(process, 0)


@atexit.register
def _terminate_all() -> None:
    for process in list(_started):
        terminate_process(process)
