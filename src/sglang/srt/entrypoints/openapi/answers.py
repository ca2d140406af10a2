"""What the native routes and those of Anthropic's kind answer. The tests hold the answers to it."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

Triple = tuple[float | None, int, str | None]
"""Log-probability, token id, text (with return_text_in_logprobs)."""


class Meta(TypedDict):
    """What there is to say about an answer."""

    id: str
    finish_reason: dict[str, Any] | None
    """stop (with what matched), length or abort; null in a stream that goes on."""
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Of the prompt, those that the prefix cache had."""
    input_token_logprobs: NotRequired[list[Triple]]
    output_token_logprobs: NotRequired[list[Triple]]
    input_top_logprobs: NotRequired[list[list[Triple] | None]]
    output_top_logprobs: NotRequired[list[list[Triple] | None]]
    hidden_states: NotRequired[list[Any]]


class Generated(TypedDict):
    """The answer to a prompt."""

    text: NotRequired[str]
    token_ids: NotRequired[list[int]]
    """Instead of the text, with --skip-tokenizer-init."""
    meta_info: Meta


Generation = Generated | list[Generated]
"""A list, if there are several prompts or answers."""


class EmbeddedMeta(TypedDict):
    id: str
    finish_reason: dict[str, Any] | None
    prompt_tokens: int
    cached_tokens: int


class Embedded(TypedDict):
    """The embedding of a prompt, or its scores."""

    embedding: list[float]
    meta_info: EmbeddedMeta


Embeddings = Embedded | list[Embedded]


class Tokens(TypedDict):
    """Token ids; lists of lists for a list of prompts."""

    count: int | list[int]
    max_model_len: int
    tokens: list[int] | list[list[int]]
    token_strs: list[str] | list[list[str]] | None


class Text(TypedDict):
    """The text of token ids."""

    text: str | list[str]
    prompt: str | list[str]
    """All of it, special tokens included."""


class ParsedCall(TypedDict):
    tool_index: int
    name: str | None
    parameters: str


class ParsedCalls(TypedDict):
    normal_text: str
    calls: list[ParsedCall]


class ParsedReasoning(TypedDict):
    reasoning_text: str
    text: str


class ModelInfo(TypedDict):
    model_path: str
    tokenizer_path: str
    is_generation: bool


class ServerInfo(TypedDict):
    """Every option and limit by name, and these."""

    __pydantic_config__ = {"extra": "allow"}  # type: ignore[misc]  # noqa: RUF012

    version: str
    model_path: str
    internal_states: list[dict[str, Any]]


class Aborted(TypedDict):
    success: bool
    found: bool
    """There was such a request."""


class Updated(TypedDict):
    success: bool
    message: str


class State(TypedDict):
    status: Literal["loading", "ready", "draining", "dead"]


class NativeMessage(TypedDict):
    message: str


class NativeError(TypedDict):
    """What went wrong."""

    error: NativeMessage


class AnthropicUsage(TypedDict):
    """Tokens; what the cache had is no input."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: NotRequired[dict[str, int]]


class AnthropicMessage(TypedDict):
    """The answer to a conversation."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    """Blocks: text, thinking, tool_use."""
    stop_reason: str | None
    stop_sequence: str | None
    usage: AnthropicUsage


class TokenCount(TypedDict):
    input_tokens: int


class AnthropicErrorObject(TypedDict):
    type: str
    message: str


class AnthropicError(TypedDict):
    """What went wrong."""

    type: Literal["error"]
    error: AnthropicErrorObject
    request_id: str | None
