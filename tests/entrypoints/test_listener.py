"""Where a server listens: HTTPS, a unix socket, and what is wrong with either."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_runtime import FakeEngine, make_state, repeat_prompt

from sglang.srt.entrypoints.http_server import Server
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.listener import bind, bind_unix, check_certificate, remove_unix
from sglang.srt.server_args import ServerArgs, ServerArgsError

OPENSSL = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
    "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@contextlib.contextmanager
def listening(listener: socket.socket, **args: Any) -> Iterator[None]:
    """The server as it is launched, with the fake engine, in a thread."""
    started = threading.Event()
    servers: list[Server] = []

    async def main() -> None:
        state = make_state(FakeEngine(repeat_prompt), **args)
        server = Server(Lifecycle(state.server_args, None, state))
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
        servers.append(server)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield
    finally:
        servers[0].should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "cert.pem"), str(folder / "key.pem")
    command = [*OPENSSL.split(), "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@needs_openssl
def test_https(certificate: tuple[str, str]) -> None:
    listener = bind("127.0.0.1", 0)
    url = f"https://localhost:{listener.getsockname()[1]}"
    trusted = ssl.create_default_context(cafile=certificate[0])
    with listening(listener, ssl_certfile=certificate[0], ssl_keyfile=certificate[1]):
        assert httpx.get(f"{url}/health", verify=trusted).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url.replace('https', 'http')}/health")


@needs_openssl
def test_a_good_certificate_is_accepted(certificate: tuple[str, str]) -> None:
    check_certificate(
        ServerArgs(model_path="fake", ssl_certfile=certificate[0], ssl_keyfile=certificate[1])
    )


def test_a_certificate_that_is_missing_is_named() -> None:
    with pytest.raises(OSError, match=r"HTTPS with /no/cert\.pem: No such file"):
        check_certificate(ServerArgs(model_path="fake", ssl_certfile="/no/cert.pem"))


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(OSError, match=r"HTTPS with .*wrong\.pem"):
        check_certificate(ServerArgs(model_path="fake", ssl_certfile=str(wrong)))


def test_a_key_alone_is_refused() -> None:
    with pytest.raises(ServerArgsError, match="ssl_keyfile: needs ssl_certfile"):
        ServerArgs(model_path="fake", ssl_keyfile="key.pem")


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with (
        listening(bind_unix(path), uds=path),
        httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://any") as client,
    ):
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").status_code == 200


def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with contextlib.closing(bind_unix(str(path))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bind_unix(path).close()
    with contextlib.closing(bind_unix(path)) as listener:
        assert listener.getsockname() == path


def test_a_socket_in_use_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with contextlib.closing(bind_unix(path)) as listener:
        listener.listen()
        with pytest.raises(OSError, match=rf"cannot listen on {path}: another server"):
            bind_unix(path)


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        bind_unix(str(path))
    assert path.read_text() == "precious"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot listen on .*/no/s: No such file"):
        bind_unix(str(tmp_path / "no" / "s"))


def test_the_file_of_a_socket_can_be_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind_unix(str(path)).close()
    remove_unix(str(path))
    remove_unix(str(path))
    assert not path.exists()
