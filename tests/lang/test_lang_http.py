"""What the frontend's HTTP client does with connections."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sglang.lang.backend.http import HttpClient
from sglang.lang.errors import BackendError

PATIENCE_S = 20


@dataclass
class RawServer:
    """Hands each request to ``reply``, and closes the connection if that returns None."""

    reply: Callable[[bytes], bytes | None]
    port: int = 0
    num_connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.num_connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        while request := self._read(reader):
            self.requests.append(request)
            answer = self.reply(request)
            if answer is None:
                break
            connection.sendall(answer)
            if b"close-silently" in answer:
                break
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    @staticmethod
    def _read(reader: Any) -> bytes:
        head, length = b"", 0
        while (line := reader.readline()) not in (b"\r\n", b""):
            head += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body: bytes = reader.read(length)
        return head + body


def whole(data: Any, more: str = "") -> bytes:
    body = json.dumps(data).encode()
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


@pytest.fixture
def server() -> Iterator[RawServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    running = RawServer(lambda request: whole({"answer": 1}), listener.getsockname()[1])
    threading.Thread(target=running.serve, args=(listener,), daemon=True).start()
    yield running
    listener.close()


def test_connections_are_kept(server: RawServer) -> None:
    client = HttpClient(server.url, None)
    assert [client.post("/x", {"n": n}) for n in range(5)] == [{"answer": 1}] * 5
    assert server.num_connections == 1


def test_threads_do_not_share_a_connection_at_the_same_time(server: RawServer) -> None:
    together = threading.Barrier(3)

    def reply(request: bytes) -> bytes:
        together.wait(PATIENCE_S)
        return whole({})

    server.reply = reply
    client = HttpClient(server.url, None)
    threads = [threading.Thread(target=client.get, args=("/x",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert server.num_connections == 3


def test_a_connection_that_the_server_has_closed_is_replaced(server: RawServer) -> None:
    server.reply = lambda request: whole({"answer": 1}, "X-Will: close-silently\r\n")
    client = HttpClient(server.url, None)
    assert [client.get("/x") for _ in range(3)] == [{"answer": 1}] * 3
    assert server.num_connections == 3


def test_a_server_that_hangs_up_on_a_new_connection_is_an_error(server: RawServer) -> None:
    server.reply = lambda request: None
    with pytest.raises(BackendError, match="no answer from http://127"):
        HttpClient(server.url, None).get("/x")
    assert server.num_connections == 1


def test_the_path_of_the_base_url_is_kept(server: RawServer) -> None:
    HttpClient(server.url + "/v1/", "secret").post("/models", {"ä": 1})
    assert server.requests[0].startswith(b"POST /v1/models HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret\r\n" in server.requests[0]


def test_events_come_as_they_are_sent(server: RawServer) -> None:
    lines = b'data: {"n": 1}\n\n: a comment\n\ndata:{"n": 2}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [lines[:9], lines[9:40], lines[40:], b""]
    server.reply = lambda request: head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)
    client = HttpClient(server.url, None)
    assert list(client.events("/x", {})) == [{"n": 1}, {"n": 2}]
    assert list(client.events("/x", {})) == [{"n": 1}, {"n": 2}]
    assert server.num_connections == 1


def test_an_error_among_the_events_is_raised(server: RawServer) -> None:
    body = b'data: {"error": {"message": "out of memory"}}\n\n'
    server.reply = lambda request: (
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    with pytest.raises(BackendError, match="out of memory"):
        list(HttpClient(server.url, None).events("/x", {}))


@pytest.mark.parametrize("has_begun", [False, True])
def test_the_wait_for_an_event_can_be_ended(server: RawServer, has_begun: bool) -> None:
    waiting, over = threading.Event(), threading.Event()

    def reply(request: bytes) -> None:
        waiting.set()
        over.wait(PATIENCE_S)

    server.reply = reply
    events = HttpClient(server.url, None).events("/x", {})
    errors: list[BaseException] = []

    def read() -> None:
        try:
            next(events)
        except BaseException as error:
            errors.append(error)

    if not has_begun:
        events.cancel()
    reader = threading.Thread(target=read)
    reader.start()
    if has_begun:
        assert waiting.wait(PATIENCE_S)
        events.cancel()
    reader.join(PATIENCE_S)
    over.set()
    assert not reader.is_alive()
    assert isinstance(errors[0], BackendError)


def test_proxies_of_the_environment_are_used(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", f"http://ann:a%40b@127.0.0.1:{server.port}")
    assert HttpClient("http://models.example:8000/v1", None).get("/x") == {"answer": 1}
    assert server.requests[0].startswith(b"GET http://models.example:8000/v1/x HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic YW5uOmFAYg==\r\n" in server.requests[0]


def test_this_machine_needs_no_proxy(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert HttpClient(server.url, None).get("/x") == {"answer": 1}


@pytest.mark.parametrize("url", ["localhost:30000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url must begin with http"):
        HttpClient(url, None)


def test_an_answer_that_is_no_json_is_shown(server: RawServer) -> None:
    server.reply = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    with pytest.raises(BackendError, match=r"/x answered with no JSON: hello"):
        HttpClient(server.url, None).get("/x")
