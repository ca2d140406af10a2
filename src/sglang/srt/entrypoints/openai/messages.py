"""Checks of chat messages, before they are prepared for a template."""

from __future__ import annotations

from typing import Any

from sglang.srt.managers.errors import NotImplementedYetError, RequestError

ROLES = ("system", "developer", "user", "assistant", "tool")
FIELDS = frozenset({"role", "content", "name", "reasoning_content", "tool_calls", "tool_call_id"})
_EMPTY_IN_ANSWERS = ("annotations", "audio", "function_call", "refusal")
"""Fields that answers have and clients send back; they may be here, but empty."""

_MEDIA_PARTS = frozenset(
    {
        "audio_url",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_image",
        "video",
        "video_url",
    }
)


def message_schema() -> dict[str, Any]:
    """The JSON schema of a message, as far as it can be said there."""
    text = {"type": ["string", "null"]}
    part = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
    fields: dict[str, Any] = {name: text for name in sorted(FIELDS)}
    fields |= {
        "role": {"enum": list(ROLES)},
        "content": {"anyOf": [text, {"type": "array", "items": part, "minItems": 1}]},
        "tool_calls": {"description": "In a message of the assistant: the calls it made."},
    }
    fields |= {name: {"description": "Only empty."} for name in _EMPTY_IN_ANSWERS}
    return {
        "type": "object",
        "properties": fields,
        "required": ["role"],
        "additionalProperties": False,
    }


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Raises:
    RequestError: wrong role or content, an unknown field, or content that is not text.
    """
    for i, message in enumerate(messages):
        _check(message, f"messages[{i}]")


def _check(message: dict[str, Any], where: str) -> None:
    role = message.get("role")
    if role not in ROLES:
        shown = repr(role[:60]) if isinstance(role, str) else type(role).__name__
        raise RequestError(
            f"{where}.role must be one of {', '.join(ROLES)}; got {shown}", param=f"{where}.role"
        )
    content = message.get("content")
    if isinstance(content, list):
        _check_parts(content, f"{where}.content")
    elif not isinstance(content, str) and not (content is None and role == "assistant"):
        raise RequestError(
            f"{where}.content must be a string or a list of text parts", param=f"{where}.content"
        )
    for name in ("name", "reasoning_content", "tool_call_id"):
        if not isinstance(message.get(name, ""), str | None):
            raise RequestError(f"{where}.{name} must be a string", param=f"{where}.{name}")
    for name in message.keys() - FIELDS:
        if name not in _EMPTY_IN_ANSWERS:
            field = f"{where}.{name[:60]}"
            raise RequestError(f"unknown field {field!r}", param=field, code="unknown_field")
        if message[name]:
            raise NotImplementedYetError(f"{name} in a message", param=f"{where}.{name}")


def _check_parts(parts: list[Any], where: str) -> None:
    if not parts:
        raise RequestError(f"{where} is an empty list", param=where)
    for i, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in _MEDIA_PARTS:
            raise NotImplementedYetError(f"content of type {kind!r}", param=f"{where}[{i}]")
        if kind != "text" or not isinstance(part.get("text"), str):
            raise RequestError(
                f'{where}[{i}] must be {{"type": "text", "text": "..."}}', param=f"{where}[{i}]"
            )
