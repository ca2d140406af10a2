"""JSON over HTTP, for the backends that are servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from sglang.lang.errors import BackendError

Body = dict[str, Any]

CONNECT_SECONDS = 10.0


class HttpClient:
    """Sends requests to one server; threads share its connections.

    An answer may take as long as it takes. Every method raises BackendError if the server cannot
    be reached or refuses the request, with the server's message and its status.
    """

    def __init__(self, base_url: str, api_key: str | None, verify: bool | str = True) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            verify=verify,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )

    def get(self, path: str) -> Any:
        """The JSON at ``path``."""
        return self._send("GET", path, None).json()

    def post(self, path: str, body: Body) -> Any:
        """The JSON that answers ``body``."""
        return self._send("POST", path, body).json()

    def order(self, path: str) -> None:
        """A POST without a body, whose answer says nothing."""
        self._send("POST", path, None)

    def events(self, path: str, body: Body) -> Iterator[Body]:
        """The objects of a stream that answers ``body``."""
        with self._reporting(), self._client.stream("POST", path, json=body) as response:
            if response.is_error:
                response.read()
            _check(response)
            for line in response.iter_lines():
                if line.startswith("data:") and line[5:].strip() != "[DONE]":
                    event = json.loads(line[5:])
                    if "error" in event:
                        raise BackendError(_message_of(event))
                    yield event

    def _send(self, method: str, path: str, body: Body | None) -> httpx.Response:
        with self._reporting():
            response = self._client.request(method, path, json=body)
        _check(response)
        return response

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise BackendError(f"no answer from {self.base_url}: {error}") from error


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        message = _message_of(response.json())
    except (ValueError, KeyError, TypeError):
        message = response.text[:500] or response.reason_phrase
    raise BackendError(f"{message} (status {response.status_code})", response.status_code)


def _message_of(body: Body) -> str:
    error = body["error"]
    return str(error["message"] if isinstance(error, dict) else error)
