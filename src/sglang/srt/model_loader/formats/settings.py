"""Entries of a checkpoint's ``quantization_config``, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sglang.srt.configs.errors import ModelLoadError


def integer(
    settings: Mapping[str, Any],
    keys: Sequence[str],
    *,
    among: Sequence[int] = (),
    default: int | None = None,
) -> int:
    """The first of ``keys`` that is there; ModelLoadError if none is, or it is none of ``among``.

    Without ``among`` it must be positive, or -1.
    """
    value = next((settings[key] for key in keys if settings.get(key) is not None), default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _error(keys[0], f"must be an integer, got {value!r}")
    if among and value not in among:
        raise _error(keys[0], f"{value} is not implemented; known: {', '.join(map(str, among))}")
    if not among and value <= 0 and value != -1:
        raise _error(keys[0], f"must be positive or -1, got {value}")
    return value


def switch(settings: Mapping[str, Any], key: str, default: bool) -> bool:
    """``settings[key]``, true or false; absent or null gives ``default``."""
    value = settings.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _error(key, f"must be true or false, got {value!r}")
    return value


def word(
    settings: Mapping[str, Any], keys: Sequence[str], among: Sequence[str], default: str
) -> str:
    """The first of ``keys`` that is there, in lower case: one of ``among``."""
    value = next((settings[key] for key in keys if settings.get(key) is not None), default)
    if not isinstance(value, str) or value.lower() not in among:
        raise _error(keys[0], f"{value!r} is not implemented; known: {', '.join(among)}")
    return value.lower()


def _error(key: str, problem: str) -> ModelLoadError:
    return ModelLoadError(f"config.json: quantization_config: '{key}' {problem}")
