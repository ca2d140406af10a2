"""The OpenAI request bodies: which fields there are, their types, and what is refused.

Ranges of sampling parameters are checked once, by ``SamplingParams.parse``. Unknown fields are
refused by name; fields that OpenAI, SGLang or vLLM know and this server does not implement are
refused as such, unless they ask for nothing.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.entrypoints.openai.response_format import GRAMMAR_FIELDS, grammar_params
from sglang.srt.managers.errors import NotImplementedYetError, RequestError
from sglang.srt.sampling.sampling_fields import MAX_N, MAX_TOKENS

MAX_TOP_LOGPROBS = 20
MAX_MESSAGES = 16384

HARMLESS = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
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
        "moderation",
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
    "verbosity": "medium",
}
"""Values of such fields that are what happens anyway."""


class StreamOptions(BaseModel):
    """How a stream reports its usage."""

    model_config = ConfigDict(strict=True, extra="forbid")

    include_usage: bool = False
    """Count the tokens in a last event."""
    continuous_usage_stats: bool = False
    """With ``include_usage``: in every event, as far as it goes."""
    include_obfuscation: Literal[False] | None = None
    """Events are as long as what they tell."""


class CommonRequest(BaseModel):
    """What both completion routes take."""

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    model: str | None = None
    """Any name, unless the server runs with --strict-model-name."""
    stream: bool = False
    """Answer with a stream of events."""
    stream_options: StreamOptions | None = None
    # What the answer has to obey, see response_format.py.
    response_format: Any = None
    """``{"type": "text"}``, ``json_object``, ``json_schema`` or ``structural_tag``."""
    json_schema: Any = None
    regex: Any = None
    ebnf: Any = None
    structural_tag: Any = None
    return_token_ids: bool = False
    """Give the ids of the answer's tokens as well."""
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
    """An id for /abort_request; by default the answer's own."""
    priority: int = 0
    """Higher ones go first."""
    cache_salt: str | None = None
    """Cached prefixes are shared among requests with the same salt only."""


class ChatRequest(CommonRequest):
    """Body of ``/v1/chat/completions``."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_tokens: int | None = None
    """Tokens that are generated at most; by default as many as the context holds."""
    max_completion_tokens: int | None = None
    """The newer name of ``max_tokens``; goes before it."""
    logprobs: bool = False
    """Give the log-probability of each token of the answer."""
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    """With ``logprobs``: those of so many of the likeliest tokens in its place, too."""
    # These two are read by tools.py.
    tools: list[Any] | None = None
    """Functions that the model may call."""
    tool_choice: Any = None
    """``none``, ``auto``, ``required``, or a function by name."""
    parallel_tool_calls: bool | None = None
    """False: at most one call."""
    separate_reasoning: bool = True
    """Put reasoning into a field of its own, with --reasoning-parser."""
    stream_reasoning: bool = True
    """Stream the reasoning as it comes."""
    thinking_budget: int | None = Field(default=None, ge=0, le=MAX_TOKENS)
    """Tokens of reasoning at most, with --reasoning-parser."""
    reasoning_effort: str | None = None
    """For chat templates that read it."""
    add_generation_prompt: bool = True
    """End the prompt with the beginning of an answer."""
    continue_final_message: bool = False
    """Go on with the last message instead of answering it."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Further variables of the chat template."""


class CompletionRequest(CommonRequest):
    """Body of ``/v1/completions``."""

    prompt: Any
    """A string, token ids, or a list of either."""
    max_tokens: int | None = None
    """Tokens that are generated at most; by default 16."""
    best_of: int | None = Field(default=None, ge=1, le=MAX_N)
    """Generate so many, and answer with the ``n`` likeliest. Not together with ``stream``."""
    echo: bool = False
    """Begin the answer with the prompt."""
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    """Give the log-probability of each token, and of so many of the likeliest in its place."""

    @property
    def num_answers(self) -> int:
        """To each prompt."""
        return 1 if self.n is None else self.n

    @property
    def num_tries(self) -> int:
        """Of which the answers are the best."""
        return self.num_answers if self.best_of is None else self.best_of


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
    fields = {k: v for k, v in body.items() if k not in HARMLESS}
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
    if isinstance(request, CompletionRequest) and request.num_tries != request.num_answers:
        _check_tries(request)


def _check_tries(request: CompletionRequest) -> None:
    if request.num_tries < request.num_answers:
        raise RequestError(
            f"best_of is {request.num_tries}; it must be at least n, which is {request.n}",
            param="best_of",
        )
    if request.stream:
        raise RequestError(
            "the best of several answers is known at the end only: best_of cannot be more than n "
            "in a stream",
            param="best_of",
        )
