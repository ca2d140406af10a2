"""The OpenAI request bodies: which fields there are, their types, and what is refused.

Ranges of sampling parameters are checked once, by ``SamplingParams.parse``. Unknown fields are
refused by name; fields that OpenAI, SGLang or vLLM know and this server does not implement are
refused as such, unless they ask for nothing.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.managers.errors import NotImplementedYetError, RequestError

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
        "parallel_tool_calls",
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
        "reasoning_effort",
        "suffix",
        "verbosity",
        "web_search_options",
        # SGLang
        "custom_logit_processor",
        "custom_params",
        "ebnf",
        "json_schema",
        "lora_path",
        "no_stop_trim",
        "regex",
        "return_hidden_states",
        "separate_reasoning",
        "session_params",
        "stream_reasoning",
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
    "separate_reasoning": True,
    "stream_reasoning": True,
}
"""Values of such fields that are what happens anyway."""


class StreamOptions(BaseModel):
    """How a stream reports its usage."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool = False


class ResponseFormat(BaseModel):
    """The form of the answer; only free text for now."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: str


class CommonRequest(BaseModel):
    """What both completion routes take."""

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
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
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
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


R = TypeVar("R", bound=CommonRequest)

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

CLIENT_NAMES = {"max_new_tokens": "max_tokens", "min_new_tokens": "min_tokens"}
"""Our names of parameters -> those of these routes, for error messages."""


def parse_request(kind: type[R], body: dict[str, Any]) -> R:
    """The checked body.

    Raises:
        RequestError: a field is unknown, not implemented, or has the wrong type.
    """
    for name in body.keys() & _NOT_YET:
        value = body[name]
        if value not in (None, False, "", [], {}) and value != _NEUTRAL.get(name):
            raise NotImplementedYetError(f"the field {name!r}", param=name)
    fields = {k: v for k, v in body.items() if k not in _NOT_YET and k not in _HARMLESS}
    # A null means "not given", as the client libraries send it.
    fields = {k: v for k, v in fields.items() if v is not None or k not in kind.model_fields}
    try:
        request = kind.model_validate(fields)
    except ValidationError as error:
        raise from_validation_error(error) from None
    _check_common(request)
    return request


def sampling_params(
    request: CommonRequest, max_new_tokens: int | None, defaults: dict[str, Any]
) -> dict[str, Any]:
    """The request's sampling parameters under the runtime's names.

    ``defaults`` are the checkpoint's own; what the request gives goes first.
    """
    params: dict[str, Any] = {**defaults, "max_new_tokens": max_new_tokens}
    for name in _SAMPLING_FIELDS:
        value = getattr(request, name)
        if value is not None:
            params[name] = value
    if request.min_tokens is not None:
        params["min_new_tokens"] = request.min_tokens
    return params


def _check_common(request: CommonRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise RequestError(
            "stream_options is only allowed when stream is true", param="stream_options"
        )
    form = request.response_format
    if form is not None and form.type != "text":
        if form.type in ("json_object", "json_schema", "structural_tag"):
            raise NotImplementedYetError(
                f"response_format of type {form.type!r}", param="response_format"
            )
        raise RequestError(
            f"response_format.type must be 'text', got {form.type[:60]!r}",
            param="response_format.type",
        )
