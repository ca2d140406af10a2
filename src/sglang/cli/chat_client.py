"""One conversation with a server that speaks the OpenAI chat protocol."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

Message = dict[str, str]


class ChatError(Exception):
    """The server did not answer, or answered with an error; the text is fit for people."""


@dataclass
class Conversation:
    """The messages so far, and what is sent along with them."""

    client: httpx.Client
    model: str
    system: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of a request: temperature, max_tokens."""
    history: list[Message] = field(default_factory=list)
    finish_reason: str | None = None
    """Why the last answer ended; None when it was interrupted."""

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self.history.clear()

    def ask(self, text: str) -> Generator[str, None, None]:
        """Yield the answer to ``text`` piece by piece.

        When the caller stops early (closes the iterator), the server stops as well and the part
        that had arrived is kept in the history. Raises :class:`ChatError`; the question is then
        forgotten.
        """
        question: Message = {"role": "user", "content": text}
        self.finish_reason = None
        answer = ""
        try:
            for piece in self._stream(self._messages(question)):
                answer += piece
                yield piece
        except httpx.HTTPError as error:
            raise ChatError(f"no answer from {self.client.base_url}: {error}") from None
        finally:
            if answer:
                self.history += [question, {"role": "assistant", "content": answer}]

    def _messages(self, question: Message) -> list[Message]:
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.history, question]

    def _stream(self, messages: list[Message]) -> Iterator[str]:
        body = {"model": self.model, "messages": messages, "stream": True, **self.settings}
        with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                response.read()
                raise ChatError(error_message(response))
            for line in response.iter_lines():
                if line.startswith("data:") and line[5:].strip() != "[DONE]":
                    yield from self._pieces(json.loads(line[5:]))

    def _pieces(self, event: dict[str, Any]) -> Iterator[str]:
        if "error" in event:
            raise ChatError(_message_in(event) or "the server reported an error")
        for choice in event.get("choices", []):
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
            if piece := choice["delta"].get("content"):
                yield piece


def connect(url: str, api_key: str | None) -> Conversation:
    """A conversation with the model that the server at ``url`` serves first.

    ``url`` may end in ``/v1``. Raises :class:`ChatError` if there is no usable server.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    base_url = url.rstrip("/").removesuffix("/v1")
    client = httpx.Client(
        base_url=base_url, headers=headers, timeout=httpx.Timeout(None, connect=10)
    )
    try:
        response = client.get("/v1/models")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChatError(f"no server at {url}: {error}") from None
    if response.status_code in (401, 403):
        raise ChatError("the server wants a key: give --api-key or set SGLANG_API_KEY")
    if response.status_code != 200:
        raise ChatError(error_message(response))
    try:
        return Conversation(client, response.json()["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise ChatError(f"{url} does not answer like an OpenAI-compatible server") from None


def error_message(response: httpx.Response) -> str:
    """What an error response says, in one line."""
    try:
        message = _message_in(response.json())
    except ValueError:
        message = ""
    return message or f"HTTP status {response.status_code} from {response.request.url}"


def _message_in(body: Any) -> str:
    """The text in ``{"error": {"message": ...}}``, ``{"error": ...}`` or ``{"message": ...}``."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    message = inner.get("message") if isinstance(inner, dict) else inner
    return message if isinstance(message, str) else ""
