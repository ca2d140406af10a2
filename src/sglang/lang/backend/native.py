"""The backend for anything that speaks the native protocol, the bodies of ``/generate``.

How the bodies get there and back is a :class:`Transport`: HTTP, or a call of an engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from sglang.lang.backend.base import Backend, Generation, Stream
from sglang.lang.backend.http import EventStream
from sglang.lang.backend.images import url_or_base64
from sglang.lang.backend.scoring import score_choices
from sglang.lang.chat_template import ChatTemplate, from_marks, template_for, template_named
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Media, Prompt
from sglang.lang.errors import BackendError
from sglang.lang.ir import Video
from sglang.lang.sampling_params import LOGPROB_OPTIONS, SamplingParams

Body = dict[str, Any]


class Transport(Protocol):
    """The way to a server or an engine."""

    def generate(self, body: Body) -> Any:
        """The answer to a ``/generate`` body: an object, or a list of them."""

    def stream(self, body: Body) -> Iterator[Body]:
        """Its answer as a stream of objects with the whole text so far."""

    def separate_reasoning(self, body: Body) -> Body:
        """The answer to a ``/separate_reasoning`` body."""

    def flush_cache(self) -> None:
        """Drop the prefix cache."""

    def get_server_info(self) -> Body:
        """Options and limits."""


class NativeBackend(Backend):
    """Programs against a native endpoint.

    Args:
        transport: The way there.
        chat_template_name: A name in ``chat_template.TEMPLATES``; None: the server's own.
    """

    def __init__(self, transport: Transport, chat_template_name: str | None = None) -> None:
        self._transport = transport
        self.chat_template = (
            template_named(chat_template_name)
            if chat_template_name is not None
            else _template_of(transport.get_server_info())
        )

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        answer = self._transport.generate(_body(prompt, params))
        answers = answer if isinstance(answer, list) else [answer]
        return [Generation(each["text"], each["meta_info"]) for each in answers]

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        chunks = self._transport.stream({**_body(prompt, params), "stream": True})
        cancel = chunks.cancel if isinstance(chunks, EventStream) else lambda: None
        return Stream(_pieces(chunks), cancel)

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        def ask(**fields: Any) -> list[Body]:
            answer = self._transport.generate({**fields, **_media_fields(prompt.media)})
            return answer if isinstance(answer, list) else [answer]

        scores, meta_info = score_choices(ask, prompt.text, choices)
        decision = method(scores)
        return decision.index, {**meta_info, **decision.meta_info}

    def cache_prefix(self, prompt: Prompt) -> None:
        self.generate(prompt, SamplingParams(max_new_tokens=0))

    def separate_reasoning(self, text: str, parser: str) -> tuple[str, str]:
        parts = self._transport.separate_reasoning({"text": text, "reasoning_parser": parser})
        return parts["reasoning_text"], parts["text"]

    def flush_cache(self) -> None:
        self._transport.flush_cache()

    def get_server_info(self) -> dict[str, Any]:
        return self._transport.get_server_info()


def _pieces(chunks: Iterator[Body]) -> Iterator[Generation]:
    length = 0
    for chunk in chunks:
        text = chunk["text"]
        yield Generation(text[length:], chunk["meta_info"])
        length = len(text)


def _body(prompt: Prompt, params: SamplingParams) -> Body:
    body: Body = {"text": prompt.text, **_media_fields(prompt.media)}
    sampling: Body = {}
    for name, value in params.given():
        (body if name in LOGPROB_OPTIONS else sampling)[name] = value
    if "stop" in sampling:
        sampling["stop"] = params.stop_strings
    return {**body, "sampling_params": sampling}


def _media_fields(media: Sequence[Media]) -> Body:
    return {"image_data": [_image_data(item) for item in media]} if media else {}


def _image_data(item: Media) -> str:
    if isinstance(item, Video):
        raise BackendError("videos cannot be sent to /generate: it takes images only")
    return url_or_base64(item.source)


def _template_of(info: Body) -> ChatTemplate:
    """The marks that the server reads off its template; else those that its model should have."""
    model = template_for(str(info.get("model_path", "")))
    if info.get("chat_marks"):
        return from_marks(info["chat_marks"], image=model.image)
    named = info.get("chat_template")
    if isinstance(named, str):
        with suppress(ValueError):  # a file, which only the server can read
            return template_named(named)
    return model
