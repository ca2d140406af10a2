"""The body of OpenAI's Responses API, and the chat request that asks for the same."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.entrypoints.openai.extra_fields import split_fields
from sglang.srt.entrypoints.openai.protocol import MAX_TOP_LOGPROBS, ChatRequest, parse_request
from sglang.srt.managers.errors import NotImplementedYetError, RequestError

NAMES = {
    "function.description": "description",
    "function.name": "name",
    "function.parameters": "parameters",
    "function.strict": "strict",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
}
"""Names of fields in the chat request -> those that the client used, for errors."""

LOGPROBS = "message.output_text.logprobs"
_INCLUDES = (LOGPROBS, "reasoning.encrypted_content")
"""What ``include`` may ask for. The text of reasoning is always there, and not encrypted."""

HARMLESS = frozenset(
    {
        "max_tool_calls",  # of tools that OpenAI runs; there are none
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "user",
    }
)
"""Accepted and without effect: they steer OpenAI's own business, not the answer."""
_NEUTRAL: dict[str, Any] = {
    "context_management": [],
    "conversation": None,
    "image": {},
    "moderation": None,
    "prompt": None,
    "stream_options": {"include_obfuscation": False},
    "truncation": "disabled",
}
"""Fields that do not exist yet -> their value for what happens anyway."""


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())


class TextConfig(_Model):
    """Form of the answer."""

    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None


class ReasoningConfig(_Model):
    """How much to reason. There are no summaries: the reasoning itself is in the answer."""

    effort: str | None = None
    summary: Literal["auto"] | None = None
    generate_summary: Literal["auto"] | None = None


class ResponsesRequest(_Model):
    """Body of ``POST /v1/responses``."""

    input: str | list[Any]
    """A text, or items: messages, ``function_call``, ``function_call_output``, ``reasoning``."""
    model: str | None = None
    """Any name, unless the server runs with --strict-model-name."""
    instructions: str | None = None
    """A system message for this response only."""
    previous_response_id: str | None = None
    """Go on from a response that is kept."""
    store: bool = True
    """Keep the response, so that one can go on from it."""
    stream: bool = False
    """Answer with a stream of events."""
    background: bool = False
    """Answer at once; the response is made by itself, to be looked at later."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    """Tokens that are generated at most, reasoning included."""
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: TextConfig = Field(default_factory=TextConfig)
    reasoning: ReasoningConfig = Field(default_factory=ReasoningConfig)
    include: list[str] = Field(default_factory=list)
    """``message.output_text.logprobs``: the log-probabilities of the answer's tokens."""
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in self.include or bool(self.top_logprobs)


def parse_responses_request(body: dict[str, Any]) -> tuple[ResponsesRequest, dict[str, Any]]:
    """The checked body, and the fields in it that a chat request takes beyond it.

    Raises:
        RequestError: a field is unknown, not implemented, or has the wrong type.
    """
    own, extras = split_fields(body)
    for name in sorted(own.keys() & _NEUTRAL.keys()):
        value = own.pop(name)
        if value and value != _NEUTRAL[name]:
            shown = f" {value[:60]!r}" if isinstance(value, str) else ""
            raise NotImplementedYetError(f"the field {name!r}{shown}", param=name)
    fields = {name: value for name, value in own.items() if name not in HARMLESS}
    try:
        request = ResponsesRequest.model_validate(fields)
    except ValidationError as error:
        raise from_validation_error(error) from None
    if request.background and not request.store:
        raise RequestError("background needs store: nobody could look at it", param="background")
    if request.background and request.stream:
        raise NotImplementedYetError("background together with stream", param="background")
    for name in request.include:
        if name not in _INCLUDES:
            raise NotImplementedYetError(f"include {name[:60]!r}", param="include")
    return request, extras


def to_chat(
    body: ResponsesRequest, extras: dict[str, Any], messages: list[dict[str, Any]]
) -> ChatRequest:
    """The chat request; ``messages`` is the conversation, ``extras`` goes in as it is.

    Raises:
        RequestError: naming the place.
    """
    if body.instructions is not None:
        messages = [{"role": "system", "content": body.instructions}, *messages]
    fields: dict[str, Any] = {
        "model": body.model,
        "messages": messages,
        "stream": body.stream,
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "tools": [_tool(raw) for raw in body.tools or []] or None,
        "tool_choice": _tool_choice(body.tool_choice),
        "parallel_tool_calls": body.parallel_tool_calls,
        "reasoning_effort": body.reasoning.effort,
        "response_format": _format(body.text.format),
    }
    if body.wants_logprobs:
        fields |= {"logprobs": True, "top_logprobs": body.top_logprobs or 0}
    return parse_request(ChatRequest, {**fields, **extras})


def _tool(raw: Any) -> Any:
    """A function as a chat request has it. Whatever is wrong with it is found there."""
    if not isinstance(raw, dict) or raw.get("type") != "function":
        return raw
    function = {name: value for name, value in raw.items() if name != "type"}
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return choice
    return {"type": "function", "function": {"name": choice.get("name")}}


def _format(form: dict[str, Any] | None) -> dict[str, Any] | None:
    if form is None or form.get("type") != "json_schema":
        return form
    if form.get("schema") is None:
        raise RequestError("text.format.schema is missing", param="text.format.schema")
    schema = {name: value for name, value in form.items() if name != "type"}
    return {"type": "json_schema", "json_schema": schema}
