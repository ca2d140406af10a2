"""The OpenAI request bodies: which fields there are, their types, and what is refused.

Ranges of sampling parameters are checked once, by ``SamplingParams.parse``. Unknown fields are
refused by name; fields that OpenAI, SGLang or vLLM know and this server does not implement are
refused as such, unless they ask for nothing.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.entrypoints.openai.response_format import GRAMMAR_FIELDS, grammar_params
from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.sampling.sampling_params import MAX_TOKENS

MAX_TOP_LOGPROBS = 20

_HARMLESS = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
"""Accepted and without effect: they steer OpenAI's own business, not the answer."""

_NOT_YET = frozenset(
    {
        # OpenAI
        "audio",
        "function_call",
        "functions",
        "modalities",
        "prediction",
        "suffix",
        "verbosity",
        "web_search_options",
        # SGLang
        "custom_logit_processor",
        "custom_params",
        "lora_path",
        "no_stop_trim",
        "return_hidden_states",
        "session_params",
        # vLLM
        "allowed_token_ids",
        "bad_words",
        "chat_template",
        "documents",
        "guided_choice",
        "guided_decoding_backend",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "include_stop_str_in_output",
        "length_penalty",
        "logits_processors",
        "mm_processor_kwargs",
        "prompt_logprobs",
        "return_tokens_as_token_ids",
        "structured_outputs",
        "truncate_prompt_tokens",
        "use_beam_search",
    }
)

_NEUTRAL: dict[str, Any] = {
    "function_call": "none",
    "guided_decoding_backend": "auto",
    "length_penalty": 1.0,
    "modalities": ["text"],
}
"""Values of such fields that are what happens anyway."""


class StreamOptions(BaseModel):
    """How a stream reports its usage."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool = False


class CommonRequest(BaseModel):
    """What both completion routes take."""

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    # What the answer has to obey, see response_format.py.
    response_format: Any = None
    json_schema: Any = None
    regex: Any = None
    ebnf: Any = None
    structural_tag: Any = None
    return_token_ids: bool = False
    # Sampling, as in SamplingParams; None: the server's default.
    n: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    # Scheduling.
    rid: str | None = None
    priority: int = 0
    cache_salt: str | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(CommonRequest):
    """Body of ``/v1/chat/completions``."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=16384)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    tools: list[Any] | None = None
    """Like the next one read by ``read_tool_use``."""
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    separate_reasoning: bool = True
    stream_reasoning: bool = True
    thinking_budget: int | None = Field(default=None, ge=0, le=MAX_TOKENS)
    reasoning_effort: str | None = None
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionRequest(CommonRequest):
    """Body of ``/v1/completions``."""

    prompt: Any
    """A string, token ids, or a list of either."""
    max_tokens: int | None = None
    best_of: int | None = None
    echo: bool = False
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)


M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=CommonRequest)

_GRAMMAR_FIELDS = ("response_format", *GRAMMAR_FIELDS)
_SAMPLING_FIELDS = (
    "n",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "seed",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "skip_special_tokens",
    "spaces_between_special_tokens",
)


def parse_request(kind: type[R], body: dict[str, Any]) -> R:
    """The checked body.

    Raises:
        RequestError: a field is unknown, not implemented, or has the wrong type.
    """
    for name in body.keys() & _NOT_YET:
        value = body[name]
        if value not in (None, False, "", [], {}) and value != _NEUTRAL.get(name):
            raise NotImplementedYetError(f"the field {name!r}", param=name)
    request = read_fields(kind, {k: v for k, v in body.items() if k not in _NOT_YET})
    _check_common(request)
    return request


def read_fields(kind: type[M], body: dict[str, Any]) -> M:
    """The body as a model, without the fields that have no effect.

    Raises:
        RequestError: a field is unknown or has the wrong type.
    """
    fields = {k: v for k, v in body.items() if k not in _HARMLESS}
    # A null means "not given", as the client libraries send it.
    fields = {k: v for k, v in fields.items() if v is not None or k not in kind.model_fields}
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise from_validation_error(error) from None


def sampling_params(
    request: CommonRequest, max_new_tokens: int | None, defaults: dict[str, Any]
) -> dict[str, Any]:
    """The request's sampling parameters under the runtime's names, its grammar among them.

    ``defaults`` are the checkpoint's own; what the request gives goes first.

    Raises:
        RequestError: ``response_format`` is malformed, or two grammars are asked for.
    """
    params: dict[str, Any] = {**defaults, "max_new_tokens": max_new_tokens}
    params |= grammar_params({name: getattr(request, name) for name in _GRAMMAR_FIELDS})
    for name in _SAMPLING_FIELDS:
        value = getattr(request, name)
        if value is not None:
            params[name] = value
    if request.min_tokens is not None:
        params["min_new_tokens"] = request.min_tokens
    return params


def client_names(request: CommonRequest) -> dict[str, str]:
    """Our names of parameters -> those that the client used, for error messages."""
    names = {"max_new_tokens": "max_tokens", "min_new_tokens": "min_tokens"}
    if request.response_format is not None:
        names |= {"json_schema": "response_format", "structural_tag": "response_format"}
    return names


def _check_common(request: CommonRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options is only allowed when stream is true", param="stream_options"
        )
