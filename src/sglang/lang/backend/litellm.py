"""Programs against the many APIs that the package LiteLLM knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sglang.lang.backend import openai_format
from sglang.lang.backend.base import Backend, Generation
from sglang.lang.backend.packages import load, reporting
from sglang.lang.backend.turns import choice_request, chosen
from sglang.lang.chat_template import MESSAGES
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Prompt
from sglang.lang.sampling_params import SamplingParams


class LiteLLM(Backend):
    """A chat model by LiteLLM's name of it.

    Args:
        model_name: Like ``groq/llama-3.1-8b-instant`` or ``bedrock/...``.
        options: What ``litellm.completion`` is to get with every request: ``api_key``,
            ``base_url``, ``timeout``, ``num_retries`` ...

    Raises:
        ImportError: the package litellm is not installed.
    """

    chat_template = MESSAGES
    writes_whole_turns = True

    def __init__(self, model_name: str, **options: Any) -> None:
        self.model_name = model_name
        self._options = options
        self._litellm = load("litellm", "LiteLLM", '"sglang[litellm]"')

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        answer = self._complete(prompt, params)
        return openai_format.answers_of(answer.model_dump(), is_chat=True)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = self._complete(prompt, params, **options)
        return openai_format.pieces_of(_events(chunks), is_chat=True)

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        [answer] = self.generate(prompt, choice_request(choices, method, "LiteLLM"))
        return chosen(choices, answer.text), answer.meta_info

    def _complete(self, prompt: Prompt, params: SamplingParams, **more: Any) -> Any:
        body = {
            "messages": openai_format.messages_of(prompt),
            **openai_format.sampling_of(params, is_plain_api=False, is_chat=True),
        }
        with reporting():
            return self._litellm.completion(self.model_name, **body, **more, **self._options)


def _events(chunks: Any) -> Iterator[dict[str, Any]]:
    with reporting():
        for chunk in chunks:
            yield chunk.model_dump()
