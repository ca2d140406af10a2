"""Conversations as Anthropic writes them, turned into chat messages.

Content is a text or a list of blocks. Blocks of a user that hold results become messages of the
role ``tool``; calls and thoughts of the assistant become fields of its message. Consecutive
messages of one role are one turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NoReturn

from sglang.srt.managers.errors import NotImplementedYetError, RequestError

Message = dict[str, Any]
Block = tuple[str, dict[str, Any]]
"""Where it stands in the body, and the block."""

_ROLES = ("user", "assistant", "system")
_OTHER_BLOCKS = frozenset({"container_upload", "document", "image", "search_result"})


def chat_messages(system: str | list[Any] | None, messages: list[dict[str, Any]]) -> list[Message]:
    """The conversation as chat messages.

    Raises:
        RequestError: naming the place, also where something else than text is sent.
    """
    chat: list[Message] = []
    if system:
        chat.append({"role": "system", "content": _text(list(_blocks(system, "system")))})
    located = [(f"messages[{i}]", message) for i, message in enumerate(messages)]
    for where, message in located:
        if message.get("role") not in _ROLES:
            shown = repr(message.get("role"))[:60]
            _refuse(f"{where}.role", f"must be one of {', '.join(_ROLES)}; got {shown}")
    for role, turn in groupby(located, key=lambda item: str(item[1]["role"])):
        blocks = [block for where, message in turn for block in _content(message, where)]
        chat += _turn(role, blocks)
    return chat


def _turn(role: str, blocks: list[Block]) -> list[Message]:
    if role == "user":
        return list(_user(blocks))
    if role == "assistant":
        return [_assistant(blocks)]
    return [{"role": role, "content": _text(blocks)}]


def _user(blocks: list[Block]) -> Iterator[Message]:
    """Results and what the user says, in their order."""
    for is_result, run in groupby(blocks, key=lambda block: block[1]["type"] == "tool_result"):
        if is_result:
            yield from (_result(*block) for block in run)
        else:
            yield {"role": "user", "content": _text(list(run))}


def _result(where: str, block: dict[str, Any]) -> Message:
    call_id = _string(where, block, "tool_use_id")
    content = block.get("content")
    text = "" if not content else _text(list(_blocks(content, f"{where}.content")))
    is_error = block.get("is_error")
    if not isinstance(is_error, bool | None):
        _refuse(f"{where}.is_error", "must be true or false")
    if is_error:
        parts = [text] if isinstance(text, str) else [part["text"] for part in text]
        text = "\n".join(["Error: " + parts[0], *parts[1:]])
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _assistant(blocks: list[Block]) -> Message:
    texts: list[Block] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for where, block in blocks:
        if block["type"] == "tool_use":
            calls.append(_call(where, block))
        elif block["type"] == "thinking":
            thoughts.append(_string(where, block, "thinking"))
        elif block["type"] != "redacted_thinking":  # which nobody can read
            texts.append((where, block))
    message: Message = {"role": "assistant", "content": _text(texts) if texts else ""}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _call(where: str, block: dict[str, Any]) -> dict[str, Any]:
    arguments = block.get("input")
    if not isinstance(arguments, dict):
        _refuse(f"{where}.input", "must be an object")
    function = {
        "name": _string(where, block, "name"),
        "arguments": json.dumps(arguments, ensure_ascii=False),
    }
    return {"id": _string(where, block, "id"), "type": "function", "function": function}


def _content(message: dict[str, Any], where: str) -> Iterator[Block]:
    for name in message.keys() - {"role", "content"}:
        field = f"{where}.{name[:60]}"
        raise RequestError(f"unknown field {field!r}", param=field, code="unknown_field")
    content = message.get("content")
    if not isinstance(content, str | list):
        _refuse(f"{where}.content", "must be a string or a list of blocks")
    return _blocks(content, f"{where}.content")


def _blocks(content: Any, where: str) -> Iterator[Block]:
    """A text, or blocks of known types."""
    if isinstance(content, str):
        yield where, {"type": "text", "text": content}
        return
    if not isinstance(content, list):
        _refuse(where, "must be a string or a list of blocks")
    for i, block in enumerate(content):
        place = f"{where}[{i}]"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(kind, str):
            _refuse(place, "must be an object with a type")
        if kind in _OTHER_BLOCKS:
            raise NotImplementedYetError(f"{place}: content of type {kind!r}", param=place)
        yield place, block


def _text(blocks: list[Block]) -> Any:
    """The content of a message that is made of texts: one text, or parts."""
    parts = []
    for where, block in blocks:
        if block["type"] != "text":
            _refuse(f"{where}.type", f"is {block['type'][:60]!r}; here only text is possible")
        parts.append({"type": "text", "text": _string(where, block, "text")})
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 else parts


def _string(where: str, block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        _refuse(f"{where}.{name}", "must be a string")
    return value


def _refuse(where: str, problem: str) -> NoReturn:
    raise RequestError(f"{where} {problem}", param=where)
