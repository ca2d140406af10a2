"""Programs against Anthropic's Messages API, or any server that speaks it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sglang.lang.backend.base import Backend, Generation
from sglang.lang.backend.images import url_or_inline
from sglang.lang.backend.packages import load, reporting
from sglang.lang.backend.turns import (
    check_whole_turns,
    choice_request,
    chosen,
    finish,
    split_system,
)
from sglang.lang.chat_template import MESSAGES
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Message, Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams

DEFAULT_MAX_TOKENS = 128
"""The API wants a number; programs have this one by default, too."""


class Anthropic(Backend):
    """A model by its name.

    An assistant turn may begin with text of the program, which the model goes on with, where the
    model can do that.

    Args:
        model_name: Like ``claude-sonnet-5``.
        options: Those of ``anthropic.Anthropic``: ``api_key`` (by default
            ``ANTHROPIC_API_KEY``), ``base_url``, ``timeout``, ``max_retries`` ...

    Raises:
        ImportError: the package anthropic is not installed.
    """

    chat_template = MESSAGES

    def __init__(self, model_name: str, **options: Any) -> None:
        self.model_name = model_name
        package = load("anthropic", "Anthropic", '"sglang[anthropic]"')
        self._client = package.Anthropic(**options)

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        request = self._request(prompt, params)
        with reporting():
            answer = self._client.messages.create(**request)
        text = "".join(block.text for block in answer.content if block.type == "text")
        usage = {"id": answer.id, **_counts(answer.usage)}
        return [Generation(_without(text, _gap(prompt)), {**usage, **finish(answer.stop_reason)})]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        gap, request = _gap(prompt), self._request(prompt, params)
        with reporting(), self._client.messages.create(**request, stream=True) as events:
            for piece in _pieces(events):
                yield Generation(_without(piece.text, gap), piece.meta_info)
                gap = "" if piece.text else gap

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        """The API shows no logprobs; the model answers with one of the choices."""
        [answer] = self.generate(prompt, choice_request(choices, method, "Anthropic models"))
        return chosen(choices, answer.text), answer.meta_info

    def _request(self, prompt: Prompt, params: SamplingParams) -> dict[str, Any]:
        check_whole_turns(prompt, may_continue=True)
        system, messages = split_system(prompt.messages)
        request: dict[str, Any] = {
            "model": self.model_name,
            "max_tokens": DEFAULT_MAX_TOKENS,
            "messages": [_message(message) for message in messages],
            **_sampling(params),
        }
        if prompt.turn.strip():
            request["messages"].append({"role": "assistant", "content": prompt.turn.rstrip()})
        return {**request, "system": system} if system is not None else request


def _sampling(params: SamplingParams) -> dict[str, Any]:
    request: dict[str, Any] = {}
    extra: dict[str, Any] = {}  # what not every version of the package has an argument for
    for name, value in params.given():
        if name == "max_new_tokens":
            request["max_tokens"] = value
        elif name == "stop":
            # The API refuses stop sequences of white space.
            request["stop_sequences"] = [text for text in params.stop_strings if text.strip()]
        elif name in ("temperature", "top_p", "top_k"):
            extra[name] = value
        elif name == "json_schema":
            schema = {"type": "json_schema", "schema": json.loads(value)}
            extra["output_config"] = {"format": schema}
        elif name != "n" or value != 1:
            raise BackendError(f"{name} is not supported by the Anthropic API")
    return {**request, "extra_body": extra} if extra else request


def _message(message: Message) -> Message:
    content = message["content"]
    if isinstance(content, str):
        return message
    return {**message, "content": [_part(part) for part in content]}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "video_url":
        raise BackendError("videos cannot be sent to the Anthropic API")
    if part["type"] != "image_url":
        return part
    image = url_or_inline(part["image_url"]["url"])
    if isinstance(image, str):
        return {"type": "image", "source": {"type": "url", "url": image}}
    source = {"type": "base64", "media_type": image.media_type, "data": image.base64}
    return {"type": "image", "source": source}


def _pieces(events: Iterable[Any]) -> Iterator[Generation]:
    meta_info: dict[str, Any] = {}
    for event in events:
        if event.type == "message_start":
            meta_info = {"id": event.message.id, **_counts(event.message.usage)}
        elif event.type == "message_delta":
            meta_info = {**meta_info, **_counts(event.usage), **finish(event.delta.stop_reason)}
        elif event.type != "content_block_delta" or event.delta.type != "text_delta":
            continue
        is_text = event.type == "content_block_delta"
        yield Generation(event.delta.text if is_text else "", dict(meta_info))


def _counts(usage: Any) -> dict[str, Any]:
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "cache_read_input_tokens": "cached_tokens",
    }
    found = {ours: getattr(usage, name, None) for name, ours in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def _gap(prompt: Prompt) -> str:
    """The white space that the turn so far ends with, which the API does not take."""
    return prompt.turn[len(prompt.turn.rstrip()) :]


def _without(text: str, gap: str) -> str:
    """What follows the gap: a model that does not get it writes it itself."""
    return text.removeprefix(gap)
