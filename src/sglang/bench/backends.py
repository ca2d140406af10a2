"""The servers that can be measured: what each is sent, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sglang.bench.answers import Answer
from sglang.bench.prompts import Prompt

Json = dict[str, Any]


@dataclass(frozen=True)
class RequestSettings:
    """What is the same for all requests of a run."""

    model: str = ""
    stream: bool = True
    ignore_eos: bool = True
    """Generate all tokens asked for, whatever the model says."""
    extra: Json = field(default_factory=dict)
    """Fields to add to each body, or to replace."""
    omit: frozenset[str] = frozenset()
    """Fields that the server does not take."""


@dataclass(frozen=True)
class Backend:
    """One protocol."""

    path: str
    port: int
    """Where such a server listens unless told otherwise."""
    make_body: Callable[[Prompt, RequestSettings], Json]
    read: Callable[[Answer, float, Json], None]
    """Takes one event, or the whole answer, that came at a time into an :class:`Answer`."""
    takes_ids: bool = True
    """Whether a prompt may be token ids."""
    is_ours: bool = False
    key_variable: str = "SGLANG_API_KEY"
    """Environment variable with the key to send."""

    def body(self, prompt: Prompt, settings: RequestSettings) -> Json:
        """The JSON to send.

        Raises:
            ValueError: the prompt is token ids and the protocol has only text.
        """
        if not self.takes_ids and not isinstance(prompt.content, str):
            raise ValueError("chat backends take text; choose a data set of texts")
        body = {**self.make_body(prompt, settings), **settings.extra}
        return {name: value for name, value in body.items() if name not in settings.omit}


# ------------------------------------------------------------------------------- /generate


def _native_body(prompt: Prompt, settings: RequestSettings) -> Json:
    name = "text" if isinstance(prompt.content, str) else "input_ids"
    sampling = {
        "temperature": 0.0,
        "max_new_tokens": prompt.output_len,
        "ignore_eos": settings.ignore_eos,
    }
    return {name: prompt.content, "sampling_params": sampling, "stream": settings.stream}


def _read_native(answer: Answer, now: float, event: Json) -> None:
    """Events are cumulative."""
    meta = event["meta_info"]
    known = answer.completion_tokens or 0
    total = meta["completion_tokens"]
    if total > known:
        answer.chunks.append((now, total - known))
    answer.completion_tokens = total
    answer.prompt_tokens = meta.get("prompt_tokens")
    answer.cached_tokens = meta.get("cached_tokens")
    answer.text = event.get("text", "")
    answer.token_ids = event.get("token_ids", [])


# ------------------------------------------------------------------------------- OpenAI


def _openai_body(prompt: Prompt, settings: RequestSettings) -> Json:
    """Fields of OpenAI's own API only."""
    body: Json = {"model": settings.model, "temperature": 0.0, "max_tokens": prompt.output_len}
    body["stream"] = settings.stream
    if settings.stream:
        body["stream_options"] = {"include_usage": True}
    return body


def _openai_completion(prompt: Prompt, settings: RequestSettings) -> Json:
    return {**_openai_body(prompt, settings), "prompt": prompt.content}


def _openai_chat(prompt: Prompt, settings: RequestSettings) -> Json:
    messages = [{"role": "user", "content": prompt.content}]
    return {**_openai_body(prompt, settings), "messages": messages}


def _extended(
    make: Callable[[Prompt, RequestSettings], Json],
) -> Callable[[Prompt, RequestSettings], Json]:
    """With what SGLang and vLLM add to OpenAI's API: exact lengths, token ids in the answer."""

    def body(prompt: Prompt, settings: RequestSettings) -> Json:
        more = {"ignore_eos": settings.ignore_eos, "return_token_ids": True}
        return {**make(prompt, settings), **more}

    return body


def _read_openai(answer: Answer, now: float, event: Json) -> None:
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or choice.get("message") or {}
        text = choice.get("text") or delta.get("content") or ""
        ids = choice.get("token_ids")
        answer.text += text
        answer.token_ids += ids or []
        if ids is not None:
            count = len(ids)
        else:
            # Without ids a chunk is a token, also one that has no text of its own; the chunk that
            # opens a chat and the one that only says why it ended are none.
            is_frame = "role" in delta or choice.get("finish_reason") is not None
            count = int(bool(text) or not is_frame)
        if count:
            answer.chunks.append((now, count))
    usage = event.get("usage")
    if usage:
        answer.prompt_tokens = usage.get("prompt_tokens", answer.prompt_tokens)
        answer.completion_tokens = usage.get("completion_tokens", answer.completion_tokens)
        details = usage.get("prompt_tokens_details") or {}
        answer.cached_tokens = details.get("cached_tokens", answer.cached_tokens)


# ------------------------------------------------------------------------------- llama.cpp


def _llama_cpp_body(prompt: Prompt, settings: RequestSettings) -> Json:
    return {
        "prompt": prompt.content,
        "n_predict": prompt.output_len,
        "temperature": 0.0,
        "ignore_eos": settings.ignore_eos,
        "cache_prompt": True,
        "return_tokens": True,
        "stream": settings.stream,
    }


def _read_llama_cpp(answer: Answer, now: float, event: Json) -> None:
    text, ids = event.get("content", ""), event.get("tokens") or []
    answer.text += text
    answer.token_ids += ids
    if text or ids:
        answer.chunks.append((now, len(ids) or 1))
    if event.get("stop"):
        answer.completion_tokens = event.get("tokens_predicted")
        answer.prompt_tokens = event.get("tokens_evaluated")


_NATIVE = Backend("/generate", 30000, _native_body, _read_native, is_ours=True)
_OPENAI = Backend(
    "/v1/completions", 8000, _openai_completion, _read_openai, key_variable="OPENAI_API_KEY"
)
_OPENAI_CHAT = replace(
    _OPENAI, path="/v1/chat/completions", make_body=_openai_chat, takes_ids=False
)
_VLLM = replace(_OPENAI, make_body=_extended(_openai_completion), key_variable="VLLM_API_KEY")
_VLLM_CHAT = replace(_OPENAI_CHAT, make_body=_extended(_openai_chat), key_variable="VLLM_API_KEY")


def _ours(backend: Backend) -> Backend:
    return replace(backend, port=_NATIVE.port, is_ours=True, key_variable=_NATIVE.key_variable)


BACKENDS: dict[str, Backend] = {
    "sglang": _NATIVE,
    "sglang-native": _NATIVE,
    "sglang-oai": _ours(_VLLM),
    "sglang-oai-chat": _ours(_VLLM_CHAT),
    "openai": _OPENAI,
    "openai-chat": _OPENAI_CHAT,
    "vllm": _VLLM,
    "vllm-chat": _VLLM_CHAT,
    "llama.cpp": Backend(
        "/completion", 8080, _llama_cpp_body, _read_llama_cpp, key_variable="LLAMA_API_KEY"
    ),
}
