"""Programs against the OpenAI API, or any server that speaks it.

A chat model is given messages and writes whole turns, so a program against one generates within
assistant turns and at their beginning. A completion model is given the plain text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from sglang.lang.backend import openai_format
from sglang.lang.backend.base import Backend, Generation, Stream
from sglang.lang.backend.http import Body, HttpClient
from sglang.lang.backend.turns import choice_request, chosen
from sglang.lang.chat_template import MESSAGES, PLAIN
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams

OPENAI_URL = "https://api.openai.com/v1"

COMPLETION_MODELS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")


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
        self.writes_whole_turns = is_chat_model
        self.chat_template = MESSAGES if is_chat_model else PLAIN
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        self._is_openai = url.startswith(OPENAI_URL)
        self._path = "/chat/completions" if is_chat_model else "/completions"
        self._client = HttpClient(url, api_key or os.environ.get("OPENAI_API_KEY"))

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        answer = self._client.post(self._path, self._body(prompt, params))
        return openai_format.answers_of(answer, self.writes_whole_turns)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        events = self._client.events(self._path, {**self._body(prompt, params), **options})
        return Stream(openai_format.pieces_of(events, self.writes_whole_turns), events.cancel)

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        """The API shows no logprobs of given texts; the model answers with one of the choices."""
        if not self.writes_whole_turns:
            raise BackendError(f"choices need a chat model, which {self.model_name} is not")
        [answer] = self.generate(prompt, choice_request(choices, method, "OpenAI models"))
        return chosen(choices, answer.text), answer.meta_info

    def _body(self, prompt: Prompt, params: SamplingParams) -> Body:
        is_chat = self.writes_whole_turns
        body = {
            "model": self.model_name,
            **openai_format.sampling_of(params, is_plain_api=self._is_openai, is_chat=is_chat),
        }
        if is_chat:
            return {**body, "messages": openai_format.messages_of(prompt)}
        if prompt.media:
            raise BackendError(f"{self.model_name} cannot look at images or videos")
        return {**body, "prompt": prompt.text}
