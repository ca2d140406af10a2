"""Programs against a server of ours over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sglang.lang.backend.http import Body, HttpClient
from sglang.lang.backend.native import NativeBackend


class RuntimeEndpoint(NativeBackend):
    """A server by its address.

    Args:
        base_url: Like ``http://localhost:30000``.
        api_key: The server's ``--api-key``, if it has one.
        verify: The certificates to trust, for HTTPS: a file, or False for any.
        chat_template_name: How roles are written; by default as the server says.

    Raises:
        BackendError: there is no server at the address, or it wants another key.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        verify: bool | str = True,
        chat_template_name: str | None = None,
    ) -> None:
        client = HttpClient(base_url, api_key, verify)
        self.base_url = client.base_url
        super().__init__(_Routes(client), chat_template_name)


class _Routes:
    """A transport: the server's native routes."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def generate(self, body: Body) -> Any:
        return self._client.post("/generate", body)

    def stream(self, body: Body) -> Iterator[Body]:
        return self._client.events("/generate", body)

    def separate_reasoning(self, body: Body) -> Body:
        parts: Body = self._client.post("/separate_reasoning", body)
        return parts

    def flush_cache(self) -> None:
        self._client.order("/flush_cache")

    def get_server_info(self) -> Body:
        info: Body = self._client.get("/get_server_info")
        return info
