"""Programs against Gemini models, on Vertex AI or by Google's Gemini API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
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

_NAMES = {
    "max_new_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "candidate_count",
}


class VertexAI(Backend):
    """A model by its name.

    On Vertex AI if a project is known (``project``, or ``GCP_PROJECT_ID`` and ``GCP_LOCATION``, or
    Google's ``GOOGLE_CLOUD_PROJECT`` and ``GOOGLE_CLOUD_LOCATION``), else by the Gemini API with an
    ``api_key`` (or ``GEMINI_API_KEY``).

    Args:
        model_name: Like ``gemini-2.5-flash``.
        safety_settings: A list of ``{"category": ..., "threshold": ...}``.
        options: Those of ``google.genai.Client``: ``project``, ``location``, ``api_key``,
            ``http_options`` ...

    Raises:
        ImportError: the package google-genai is not installed.
    """

    chat_template = MESSAGES
    writes_whole_turns = True

    def __init__(
        self, model_name: str, safety_settings: Sequence[Any] | None = None, **options: Any
    ) -> None:
        self.model_name = model_name
        self._safety_settings = safety_settings
        genai = load("google.genai", "VertexAI", '"sglang[vertexai]"')
        self._client = genai.Client(**_account(options))

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        request = self._request(prompt, params)
        with reporting():
            answer = self._client.models.generate_content(**request)
        meta_info = _counts(answer)
        return [
            Generation(_text(candidate), {**meta_info, **_finish(candidate)})
            for candidate in answer.candidates or ()
        ] or _blocked(answer)

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        request = self._request(prompt, params)
        meta_info: dict[str, Any] = {}
        with reporting():
            for chunk in self._client.models.generate_content_stream(**request):
                candidates = chunk.candidates or ()
                meta_info = {**meta_info, **_counts(chunk)}
                for candidate in candidates:
                    meta_info.update(_finish(candidate))
                yield Generation("".join(map(_text, candidates)), dict(meta_info))

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        """The API shows no logprobs of given texts; the model answers with one of the choices."""
        [answer] = self.generate(prompt, choice_request(choices, method, "Gemini models"))
        return chosen(choices, answer.text), answer.meta_info

    def _request(self, prompt: Prompt, params: SamplingParams) -> dict[str, Any]:
        check_whole_turns(prompt)
        system, messages = split_system(prompt.messages)
        config = _sampling(params)
        if system is not None:
            config["system_instruction"] = system
        if self._safety_settings is not None:
            config["safety_settings"] = list(self._safety_settings)
        contents = [_content(message) for message in messages]
        return {"model": self.model_name, "contents": contents, "config": config}


def _account(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the client, with what the environment says about the project."""
    if "api_key" in options:
        return options
    places = {
        "project": ("GCP_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"),
        "location": ("GCP_LOCATION", "GOOGLE_CLOUD_LOCATION"),
    }
    for option, names in places.items():
        found = [os.environ[name] for name in names if os.environ.get(name)]
        if found:
            options = {option: found[0], **options}
    return {"vertexai": True, **options} if "project" in options else options


def _sampling(params: SamplingParams) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for name, value in params.given():
        if name == "stop":
            config["stop_sequences"] = params.stop_strings
        elif name == "json_schema":
            config["response_mime_type"] = "application/json"
            config["response_json_schema"] = json.loads(value)
        elif name in _NAMES:
            config[_NAMES[name]] = value
        else:
            raise BackendError(f"{name} is not supported by the Gemini API")
    return config


def _content(message: Message) -> dict[str, Any]:
    content = message["content"]
    parts = [{"text": content}] if isinstance(content, str) else [_part(part) for part in content]
    return {"role": "model" if message["role"] == "assistant" else "user", "parts": parts}


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"text": part["text"]}
    if part["type"] == "video_url":
        raise BackendError("videos cannot be sent to the Gemini API")
    image = url_or_inline(part["image_url"]["url"])
    if isinstance(image, str):
        return {"fileData": {"fileUri": image}}
    return {"inlineData": {"mimeType": image.media_type, "data": image.base64}}


def _text(candidate: Any) -> str:
    parts = (candidate.content.parts if candidate.content else None) or ()
    return "".join(part.text for part in parts if part.text and not part.thought)


def _finish(candidate: Any) -> dict[str, Any]:
    reason = candidate.finish_reason
    return finish(reason.value.lower()) if reason is not None else {}


def _blocked(answer: Any) -> list[Generation]:
    feedback = answer.prompt_feedback
    reason = getattr(feedback, "block_reason", None) if feedback is not None else None
    raise BackendError(f"there is no answer: {reason or 'no candidates'}")


def _counts(answer: Any) -> dict[str, Any]:
    names = {
        "prompt_token_count": "prompt_tokens",
        "candidates_token_count": "completion_tokens",
        "cached_content_token_count": "cached_tokens",
    }
    usage = answer.usage_metadata
    found = {ours: getattr(usage, name, None) for name, ours in names.items()}
    return {name: value for name, value in found.items() if value is not None}
