"""The bodies of Anthropic's Messages API: which fields there are, their types, what is refused."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sglang.srt.entrypoints.errors import from_validation_error
from sglang.srt.entrypoints.openai.extra_fields import split_fields
from sglang.srt.managers.errors import NotImplementedYetError
from sglang.srt.sampling.sampling_fields import MAX_TOKENS

HARMLESS = frozenset({"cache_control", "diagnostics", "service_tier", "user_profile_id"})
"""Accepted and without effect. Prefixes are cached without being told to."""

_NOT_YET = frozenset(
    {"container", "context_management", "inference_geo", "mcp_servers", "output_format", "speed"}
)
_NEUTRAL: dict[str, list[Any]] = {
    "context_management": [
        {"edits": []},
        {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    ],
    "mcp_servers": [[]],
    "speed": ["standard"],
}
"""Values of such fields that are what happens anyway."""


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())


class Metadata(_Model):
    """Who asks, for the caller's own records."""

    user_id: str | None = None


class Thinking(_Model):
    """Whether the model may reason, how long, and whether the client gets to read it."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(_Model):
    """What the answer has to obey."""

    type: Literal["json_schema"]
    format_schema: dict[str, Any] = Field(alias="schema")


class OutputConfig(_Model):
    """Form and effort of the answer."""

    effort: str | None = None
    format: OutputFormat | None = None


class PromptRequest(_Model):
    """Body of ``/v1/messages/count_tokens``, and what ``/v1/messages`` has in common with it."""

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=16384)
    """Turns of user and assistant, each a text or a list of blocks."""
    system: str | list[Any] | None = None
    tools: list[Any] | None = None
    """Tools of the client's own: name, description, input_schema."""
    tool_choice: Any = None
    """An object whose type is ``auto``, ``any``, ``tool`` or ``none``."""
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(PromptRequest):
    """Body of ``/v1/messages``."""

    max_tokens: int = Field(ge=1)
    """Tokens that are generated at most."""
    metadata: Metadata | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


R = TypeVar("R", bound=PromptRequest)


def parse_request(kind: type[R], body: dict[str, Any]) -> tuple[R, dict[str, Any]]:
    """The checked body, and the fields in it that a chat request takes beyond Anthropic's.

    Raises:
        RequestError: a field is unknown, not implemented, or has the wrong type.
    """
    own, extras = split_fields(body)
    for name in sorted(own.keys() & _NOT_YET):
        if own.pop(name) not in _NEUTRAL.get(name, []):
            raise NotImplementedYetError(f"the field {name!r}", param=name)
    fields = {name: value for name, value in own.items() if name not in HARMLESS}
    try:
        return kind.model_validate(fields), extras
    except ValidationError as error:
        raise from_validation_error(error) from None
