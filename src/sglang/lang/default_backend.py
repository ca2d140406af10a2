"""The backend that programs run on if they are not told another one."""

from __future__ import annotations

from typing import Any

from sglang.lang.backend.base import Backend
from sglang.lang.backend.engine import EngineBackend

_default: Backend | None = None


def set_default_backend(backend: Any) -> None:
    """Run programs on ``backend`` from now on: a backend or an ``Engine``; None: on none."""
    global _default
    _default = None if backend is None else as_backend(backend)


def resolve_backend(backend: Any = None) -> Backend:
    """``backend``, or the default one.

    Raises:
        ValueError: neither was given.
    """
    if backend is not None:
        return as_backend(backend)
    if _default is None:
        raise ValueError(
            "no backend: call set_default_backend(RuntimeEndpoint(...)), or give backend="
        )
    return _default


def as_backend(value: Any) -> Backend:
    """A backend as it is; an engine as one.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, Backend):
        return value
    if callable(getattr(value, "generate", None)) and hasattr(value, "get_server_info"):
        return EngineBackend(value)
    raise TypeError(f"a {type(value).__name__} is neither a backend nor an engine")
