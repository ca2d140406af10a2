"""Items of the Responses API: what a client sends, and the chat messages that say the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NoReturn

from sglang.srt.managers.errors import NotImplementedYetError, RequestError

Item = dict[str, Any]

MAX_ITEMS = 16384
_ROLES = ("user", "assistant", "system", "developer")
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
_TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_MEDIA = frozenset({"input_audio", "input_file", "input_image"})


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"


def read_items(raw: str | list[Any]) -> list[Item]:
    """The items of ``input``, checked, each with a type and an id.

    Raises:
        RequestError: naming the place, also where something else than text is sent.
    """
    if isinstance(raw, str):
        raw = [{"role": "user", "content": [{"type": "input_text", "text": raw}]}]
    if not raw or len(raw) > MAX_ITEMS:
        raise RequestError(f"input must have 1 to {MAX_ITEMS} items, got {len(raw)}", param="input")
    return [_read(item, f"input[{i}]") for i, item in enumerate(raw)]


def chat_messages(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The conversation; what the assistant thinks, says and calls in a row is one message."""
    messages: list[dict[str, Any]] = []
    for is_answer, group in groupby(items, key=_is_answer):
        run = list(group)
        messages += [_assistant(run)] if is_answer else [_message(item) for item in run]
    return messages


def _is_answer(item: Item) -> bool:
    return item["type"] in ("function_call", "reasoning") or item.get("role") == "assistant"


def _message(item: Item) -> dict[str, Any]:
    if item["type"] == "function_call_output":
        return {
            "role": "tool",
            "tool_call_id": item["call_id"],
            "content": _parts(item["output"]),
        }
    return {"role": item["role"], "content": _parts(item["content"])}


def _assistant(items: list[Item]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for item in items:
        if item["type"] == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls.append({"id": item["call_id"], "type": "function", "function": function})
        elif item["type"] == "reasoning":
            texts = item.get("content") or item.get("summary") or []
            thoughts += [part["text"] for part in texts]
        else:
            content = _parts(item["content"])
            parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    message: dict[str, Any] = {"role": "assistant", "content": parts or ""}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _parts(content: str | list[dict[str, Any]]) -> Any:
    """The content of a chat message."""
    if isinstance(content, str):
        return content
    texts = [part[_TEXTS[part["type"]]] for part in content]
    return texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts]


def _read(raw: Any, where: str) -> Item:
    if not isinstance(raw, dict):
        _refuse(where, "must be an object")
    kind = raw.get("type", "message")
    if not isinstance(kind, str):
        _refuse(f"{where}.type", "must be a string")
    if kind not in _PREFIXES:
        raise NotImplementedYetError(f"{where}: an item of type {kind[:60]!r}", param=where)
    if kind == "message":
        if raw.get("role") not in _ROLES:
            shown = repr(raw.get("role"))[:60]
            _refuse(f"{where}.role", f"must be one of {', '.join(_ROLES)}; got {shown}")
        _check_texts(raw.get("content"), f"{where}.content")
    elif kind == "function_call":
        for name in ("call_id", "name", "arguments"):
            _check_string(raw, name, where)
    elif kind == "function_call_output":
        _check_string(raw, "call_id", where)
        _check_texts(raw.get("output"), f"{where}.output")
    else:
        for name in ("summary", "content"):
            _check_thoughts(raw.get(name) or [], f"{where}.{name}")
    id = raw.get("id")
    if not isinstance(id, str | None):
        _refuse(f"{where}.id", "must be a string")
    return {**raw, "type": kind, "id": id or new_id(_PREFIXES[kind])}


def _check_texts(content: Any, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        _refuse(where, "must be a string or a list of parts")
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            _refuse(f"{where}[{i}]", "must be an object with a type")
        if kind in _MEDIA:
            raise NotImplementedYetError(
                f"{where}[{i}]: content of type {kind!r}", param=f"{where}[{i}]"
            )
        if kind not in _TEXTS:
            _refuse(f"{where}[{i}]", 'must be {"type": "input_text", "text": "..."}')
        _check_string(part, _TEXTS[kind], f"{where}[{i}]")


def _check_thoughts(parts: Any, where: str) -> None:
    if not isinstance(parts, list):
        _refuse(where, "must be a list of parts")
    for i, part in enumerate(parts):
        if not isinstance(part, dict):
            _refuse(f"{where}[{i}]", "must be an object with a text")
        _check_string(part, "text", f"{where}[{i}]")


def _check_string(raw: dict[str, Any], name: str, where: str) -> None:
    if not isinstance(raw.get(name), str):
        _refuse(f"{where}.{name}", "must be a string")


def _refuse(where: str, problem: str) -> NoReturn:
    raise RequestError(f"{where} {problem}", param=where)
