"""Values a template may see: plain JSON data and nothing with methods of its own.

The sandbox guards Python's built-in types. Objects of other types could carry methods that it
does not know to be dangerous, so they never get in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


def plain_value(value: Any, where: str) -> Any:
    """A deep copy of ``value`` in dicts, lists, strings, numbers, booleans and None.

    Dataclasses and pydantic models become dicts. Raises ValueError naming ``where`` for any
    other type and for nesting beyond Python's recursion limit.
    """
    try:
        return _plain(value, where)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply") from None


def plain_messages(messages: Sequence[Any]) -> list[dict[str, Any]]:
    """A conversation as plain data; raises ValueError for a message that is no mapping."""
    if isinstance(messages, (str, bytes, Mapping)):
        raise ValueError(f"messages must be a list, not {type(messages).__name__}")
    chat = []
    for index, message in enumerate(messages):
        plain = plain_value(message, f"messages[{index}]")
        if not isinstance(plain, dict):
            raise ValueError(f"messages[{index}] must be an object with a role and content")
        chat.append(plain)
    return chat


def _plain(value: Any, where: str) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value), where)
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(), where)
    raise ValueError(f"{where} holds a value of type {type(value).__name__}; only JSON data works")


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{where} holds a key of type {type(key).__name__}; keys are strings")
    return str.__str__(key)
