"""Programs against the OpenAI API, or any server that speaks it.

A chat model is given messages and writes whole turns, so a program against one generates within
assistant turns and at their beginning. A completion model is given the plain text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from sglang.lang.backend.base import Backend, Generation
from sglang.lang.backend.http import Body, HttpClient
from sglang.lang.backend.images import as_url
from sglang.lang.chat_template import PLAIN, ChatTemplate
from sglang.lang.choices import ChoicesMethod, token_length_normalized
from sglang.lang.conversation import Message, Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams

OPENAI_URL = "https://api.openai.com/v1"

COMPLETION_MODELS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")

_MESSAGES = ChatTemplate("messages", PLAIN.roles)
"""How turns look in ``s.text()``; what is sent are messages, which end by themselves."""

_NAMES = {
    "max_new_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "n",
}
"""Our names of the parameters that the API has, and its own."""

_OTHER_NAMES = {"min_new_tokens": "min_tokens"}
"""What servers that know more than the API call a parameter; they call the others as we do."""


class OpenAI(Backend):
    """A model by its name.

    Args:
        model_name: Like ``gpt-4o-mini``.
        is_chat_model: Whether it is given messages; by default all are but the known few.
        base_url: Another server; by default ``OPENAI_BASE_URL``, else OpenAI's own.
        api_key: By default ``OPENAI_API_KEY``.
    """

    def __init__(
        self,
        model_name: str,
        is_chat_model: bool | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.model_name = model_name
        if is_chat_model is None:
            is_chat_model = not model_name.startswith(COMPLETION_MODELS)
        self.is_chat_model = is_chat_model
        self.chat_template = _MESSAGES if is_chat_model else PLAIN
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        self._is_openai = url.startswith(OPENAI_URL)
        self._path = "/chat/completions" if is_chat_model else "/completions"
        self._client = HttpClient(url, api_key or os.environ.get("OPENAI_API_KEY"))

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        answer = self._client.post(self._path, self._body(prompt, params))
        meta_info = {"id": answer.get("id"), **_counts(answer)}
        return [
            Generation(
                (choice["message"].get("content") or "") if self.is_chat_model else choice["text"],
                {**meta_info, "finish_reason": {"type": choice["finish_reason"]}},
            )
            for choice in answer["choices"]
        ]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        body = {**self._body(prompt, params), "stream": True}
        meta_info: Body = {}
        for event in self._client.events(
            self._path, {**body, "stream_options": {"include_usage": True}}
        ):
            meta_info = {**meta_info, "id": event.get("id"), **_counts(event)}
            text = ""
            for choice in event.get("choices", ()):
                piece = choice["delta"].get("content") if self.is_chat_model else choice["text"]
                text += piece or ""
                if choice.get("finish_reason"):
                    meta_info["finish_reason"] = {"type": choice["finish_reason"]}
            yield Generation(text, dict(meta_info))

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        """The API shows no logprobs of given texts; the model answers with one of the choices."""
        if not self.is_chat_model:
            raise BackendError(f"choices need a chat model, which {self.model_name} is not")
        if method is not token_length_normalized:
            raise BackendError("choices_method is not supported by OpenAI models")
        schema = {
            "type": "object",
            "properties": {"choice": {"enum": list(choices)}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        params = SamplingParams(temperature=0.0, json_schema=json.dumps(schema))
        [answer] = self.generate(prompt, params)
        try:
            return list(choices).index(json.loads(answer.text)["choice"]), answer.meta_info
        except (ValueError, KeyError, TypeError):
            raise BackendError(f"the answer is none of the choices: {answer.text!r}") from None

    def _body(self, prompt: Prompt, params: SamplingParams) -> Body:
        body: Body = {"model": self.model_name, **self._sampling(params)}
        if not self.is_chat_model:
            if prompt.media:
                raise BackendError(f"{self.model_name} cannot look at images or videos")
            return {**body, "prompt": prompt.text}
        if prompt.has_loose_text:
            raise BackendError("a chat model is given turns only; some text is outside of any")
        if prompt.role != "assistant" or prompt.turn:
            raise BackendError(
                "a chat model writes whole turns: a gen must stand at the beginning of an "
                "assistant turn"
            )
        return {**body, "messages": [_sendable(message) for message in prompt.messages]}

    def _sampling(self, params: SamplingParams) -> Body:
        body: Body = {}
        for name, value in params.given():
            if name == "stop":
                body["stop"] = params.stop_strings
            elif name == "json_schema":
                schema = {"name": "output", "schema": json.loads(value), "strict": True}
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif name == "max_new_tokens" and self._is_openai and self.is_chat_model:
                body["max_completion_tokens"] = value
            elif name in _NAMES:
                body[_NAMES[name]] = value
            elif self._is_openai:
                raise BackendError(f"{name} is not supported by the OpenAI API")
            else:
                body[_OTHER_NAMES.get(name, name)] = value
        return body


def _sendable(message: Message) -> Message:
    """The message with its images as URLs."""
    content = message["content"]
    if isinstance(content, str):
        return message
    parts = []
    for part in content:
        if part["type"] == "video_url":
            raise BackendError("videos cannot be sent to the OpenAI API")
        if part["type"] == "image_url":
            part = {"type": "image_url", "image_url": {"url": as_url(part["image_url"]["url"])}}
        parts.append(part)
    return {**message, "content": parts}


def _counts(answer: Body) -> Body:
    usage = answer.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    known = {**details, **usage}
    names = ("prompt_tokens", "completion_tokens", "cached_tokens")
    return {name: known[name] for name in names if name in known}
