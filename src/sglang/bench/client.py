"""Sends prompts to one server and times what comes back.

aiohttp, because its parser is in C: a client that shares the processor with the server must not
cost much. Every request has a connection of its own, since some servers close theirs unannounced.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from sglang.bench.answers import Answer
from sglang.bench.backends import Backend, RequestSettings
from sglang.bench.prompts import Prompt

DEFAULT_TIMEOUT = 6 * 3600.0
_ERROR_CHARS = 300
_DONE = b"[DONE]"


class Client:
    """A server and its protocol."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, backend: Backend) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._session = session
        self._backend = backend
        key = os.environ.get(backend.key_variable)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def send(self, prompt: Prompt, settings: RequestSettings) -> Answer:
        """The answer to ``prompt``; what goes wrong with the server is in its ``error``.

        Raises:
            ValueError: the protocol has no token ids, and the prompt is some.
        """
        body = json.dumps(self._backend.body(prompt, settings)).encode()
        answer = Answer(start=time.perf_counter())
        try:
            await self._post(body, answer)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            answer.error = f"{type(error).__name__}: {error}"
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            answer.error = f"the server's answer cannot be read: {type(error).__name__}: {error}"
        answer.end = time.perf_counter()
        if not answer.error and answer.output_len == 0:
            answer.error = "the answer has no tokens"
        return answer

    async def get_json(self, path: str) -> Any:
        """What a GET route answers.

        Raises:
            ValueError: nobody answers, or not with JSON and status 200.
        """
        return await self._plain("GET", path)

    async def post(self, path: str) -> None:
        """Call a route that takes no body; raises ValueError as :meth:`get_json` does."""
        await self._plain("POST", path, parse=False)

    async def _plain(self, method: str, path: str, *, parse: bool = True) -> Any:
        url = self.base_url + path
        try:
            async with self._session.request(method, url, headers=self._headers) as response:
                text = await response.text()
                if response.status != 200:
                    raise ValueError(f"{url} answered {response.status}: {_shorten(text)}")
                return json.loads(text) if parse else None
        except json.JSONDecodeError:
            raise ValueError(f"{url} did not answer with JSON") from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise ValueError(f"no answer from {url}: {error}") from None

    async def _post(self, body: bytes, answer: Answer) -> None:
        url = self.base_url + self._backend.path
        headers = {"Content-Type": "application/json", **self._headers}
        async with self._session.post(url, data=body, headers=headers) as response:
            if response.status != 200:
                text = _shorten(await response.text())
                answer.error = f"HTTP status {response.status}: {text}"
            elif response.content_type == "text/event-stream":
                await self._read_stream(response.content, answer)
            else:
                self._read_event(answer, await response.read())

    async def _read_stream(self, content: aiohttp.StreamReader, answer: Answer) -> None:
        rest = b""
        async for data in content.iter_any():
            now = time.perf_counter()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    payload = line[5:].strip()
                    if payload != _DONE:
                        self._read_event(answer, payload, now)
        if rest.strip():
            answer.error = answer.error or "the stream ended in the middle of an event"

    def _read_event(self, answer: Answer, payload: bytes, now: float | None = None) -> None:
        event = json.loads(payload)
        if "error" in event:
            answer.error = _shorten(json.dumps(event["error"]))
            return
        self._backend.read(answer, time.perf_counter() if now is None else now, event)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _ERROR_CHARS else text[:_ERROR_CHARS] + "..."


@asynccontextmanager
async def open_session(timeout: float = DEFAULT_TIMEOUT) -> AsyncIterator[aiohttp.ClientSession]:
    """A session without a limit on connections; ``timeout`` seconds a request.

    Raises this process' limit on open files as far as it may, since each connection is one.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    limits = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(
        connector=connector, timeout=limits, read_bufsize=1 << 20
    ) as session:
        yield session
