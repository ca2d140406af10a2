"""JSON over HTTP, for the backends that are servers.

On the standard library's ``http.client``: a request costs a fraction of what richer clients take,
and a thread's wait for an answer can be ended by another thread.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sglang.lang.errors import BackendError

Body = dict[str, Any]

CONNECT_SECONDS = 10.0

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class HttpClient:
    """Sends requests to one server; connections are kept and go from thread to thread.

    An answer may take as long as it takes. Every method raises BackendError if the server cannot
    be reached or refuses the request, with the server's message and its status. The proxies of the
    environment (``HTTPS_PROXY`` ...) are used.
    """

    def __init__(self, base_url: str, api_key: str | None, verify: bool | str = True) -> None:
        self.base_url = base_url.rstrip("/")
        self._url = urlsplit(self.base_url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ValueError(
                f"base_url must begin with http:// or https:// and name a host, got {base_url!r}"
            )
        self._proxy = _proxy_for(self._url)
        self._trust = _trust(verify) if self._url.scheme == "https" else None
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        if self._proxy is not None and self._url.scheme == "http":
            self._headers |= _login(self._proxy)
        # A list's pop and append are atomic.
        self._idle: list[HTTPConnection] = []

    def get(self, path: str) -> Any:
        """The JSON at ``path``."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: Body) -> Any:
        """The JSON that answers ``body``."""
        return self._ask("POST", path, body)

    def order(self, path: str) -> None:
        """A POST without a body, whose answer says nothing."""
        self._whole("POST", path, None)

    def events(self, path: str, body: Body) -> EventStream:
        """The objects of a stream that answers ``body``; sent when the first is asked for."""
        return EventStream(self, path, body)

    # ---- one exchange

    def begin(
        self,
        method: str,
        path: str,
        body: Body | None,
        using: Callable[[HTTPConnection], None] = lambda connection: None,
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """Send a request and read the head of its answer.

        ``using`` gets to know the connection before the wait for the answer begins.
        """
        with suppress(IndexError, ConnectionResetError, BrokenPipeError):
            # The server may have closed an idle connection; then the request goes over a new one.
            connection = self._idle.pop()
            using(connection)
            return connection, self._head(connection, method, path, body)
        connection = self._connect()
        using(connection)
        return connection, self._head(connection, method, path, body)

    def give_back(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        """Keep a connection if its answer has been read to its end."""
        if response.isclosed() and not response.will_close:
            self._idle.append(connection)
        else:
            connection.close()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what can go wrong on the way into BackendError."""
        try:
            yield
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise BackendError(f"no answer from {self.base_url}: {reason}") from error

    def _head(
        self, connection: HTTPConnection, method: str, path: str, body: Body | None
    ) -> HTTPResponse:
        target = self._url.path + path
        if self._proxy is not None and self._url.scheme == "http":
            target = f"http://{self._url.netloc}{target}"
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, target, body=data, headers=self._headers)
            return connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _whole(self, method: str, path: str, body: Body | None) -> bytes:
        with self.reporting():
            connection, response = self.begin(method, path, body)
            try:
                text = response.read()
            finally:
                self.give_back(connection, response)
        check(response, text)
        return text

    def _ask(self, method: str, path: str, body: Body | None) -> Any:
        text = self._whole(method, path, body)
        try:
            return json.loads(text)
        except ValueError:
            shown = text[:500].decode(errors="replace")
            raise BackendError(f"{self.base_url}{path} answered with no JSON: {shown}") from None

    def _connect(self) -> HTTPConnection:
        """A new connection, on which an answer may take any time."""
        at = self._proxy or self._url
        host, port = at.hostname or "", at.port
        connection: HTTPConnection
        if self._trust is None:
            connection = HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        else:
            connection = HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._trust)
            if self._proxy is not None:
                to = self._url.hostname or ""
                connection.set_tunnel(to, self._url.port, _login(self._proxy))
        connection.connect()
        connection.sock.settimeout(None)
        return connection


class EventStream(Iterator[Body]):
    """The objects of a stream of server-sent events, as they come.

    ``close`` lets the server go, and so does the end of iteration. ``cancel`` does it from any
    thread, also while another one waits for the next object, which then gets BackendError.
    """

    def __init__(self, client: HttpClient, path: str, body: Body) -> None:
        self._client = client
        self._connection: HTTPConnection | None = None
        self._is_cancelled = False
        self._events = self._read(path, body)

    def __next__(self) -> Body:
        return next(self._events)

    def close(self) -> None:
        """Stop reading."""
        self._events.close()

    def cancel(self) -> None:
        """Stop reading, and waiting for something to read."""
        self._is_cancelled = True
        if self._connection is not None:
            _end(self._connection)

    def _hold(self, connection: HTTPConnection) -> None:
        self._connection = connection
        if self._is_cancelled:
            _end(connection)

    def _read(self, path: str, body: Body) -> Generator[Body, None, None]:
        with self._client.reporting():
            connection, response = self._client.begin("POST", path, body, self._hold)
            try:
                if response.status >= 400:
                    check(response, response.read())
                for line in response:
                    if line.startswith(b"data:") and line[5:].strip() != b"[DONE]":
                        yield _event(line[5:])
            finally:
                self._connection = None
                self._client.give_back(connection, response)


def _end(connection: HTTPConnection) -> None:
    """End the connection under whoever waits for it; closing alone would wake nobody."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):  # it has ended by itself
            sock.shutdown(socket.SHUT_RDWR)


def check(response: HTTPResponse, text: bytes) -> None:
    """Raise BackendError if the answer is a refusal."""
    if response.status < 400:
        return
    try:
        message = message_of(json.loads(text))
    except (ValueError, KeyError, TypeError):
        message = text[:500].decode(errors="replace") or response.reason
    raise BackendError(f"{message} (status {response.status})", response.status)


def message_of(body: Mapping[str, Any]) -> str:
    """What an error object says."""
    error = body["error"]
    return str(error["message"] if isinstance(error, dict) else error)


def _event(data: bytes) -> Body:
    event: Body = json.loads(data)
    if "error" in event:
        raise BackendError(message_of(event))
    return event


def _trust(verify: bool | str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for ``url``, if any; none for this machine."""
    if url.hostname in _THIS_MACHINE or proxy_bypass(url.netloc):
        return None
    address = getproxies().get(url.scheme) or getproxies().get("all")
    if not address:
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


def _login(proxy: SplitResult) -> dict[str, str]:
    """The header for a proxy whose address has a name and a password."""
    if not proxy.username:
        return {}
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
