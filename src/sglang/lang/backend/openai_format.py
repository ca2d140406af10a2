"""Requests and answers in the form of the OpenAI API, which many servers and libraries share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sglang.lang.backend.base import Generation
from sglang.lang.backend.images import as_url
from sglang.lang.backend.turns import check_whole_turns, finish
from sglang.lang.conversation import Message, Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams

Body = dict[str, Any]

API_NAMES: Mapping[str, str] = {
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


def messages_of(prompt: Prompt) -> list[Message]:
    """The turns of a prompt for a chat model, images as URLs.

    Raises:
        BackendError: the prompt is not made of whole turns, or shows videos.
    """
    check_whole_turns(prompt)
    return [_sendable(message) for message in prompt.messages]


def sampling_of(params: SamplingParams, *, is_plain_api: bool, is_chat: bool) -> Body:
    """Sampling parameters as fields of a body.

    Args:
        is_plain_api: The API has what OpenAI's has and no more.

    Raises:
        BackendError: a parameter that the plain API does not have.
    """
    body: Body = {}
    for name, value in params.given():
        if name == "stop":
            body["stop"] = params.stop_strings
        elif name == "json_schema":
            schema = {"name": "output", "schema": json.loads(value), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif name == "max_new_tokens" and is_plain_api and is_chat:
            body["max_completion_tokens"] = value
        elif name in API_NAMES:
            body[API_NAMES[name]] = value
        elif is_plain_api:
            raise BackendError(f"{name} is not supported by the OpenAI API")
        else:
            body[_OTHER_NAMES.get(name, name)] = value
    return body


def answers_of(answer: Body, is_chat: bool) -> list[Generation]:
    """The answers in a whole response."""
    meta_info = {"id": answer.get("id"), **_counts(answer)}
    return [
        Generation(
            (choice["message"].get("content") or "") if is_chat else choice["text"],
            {**meta_info, **finish(choice["finish_reason"])},
        )
        for choice in answer["choices"]
    ]


def pieces_of(events: Iterable[Body], is_chat: bool) -> Iterator[Generation]:
    """The pieces of an answer in the objects of a stream."""
    meta_info: Body = {}
    for event in events:
        meta_info = {**meta_info, "id": event.get("id"), **_counts(event)}
        text = ""
        for choice in event.get("choices", ()):
            piece = choice["delta"].get("content") if is_chat else choice["text"]
            text += piece or ""
            if choice.get("finish_reason"):
                meta_info.update(finish(choice["finish_reason"]))
        yield Generation(text, dict(meta_info))


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
