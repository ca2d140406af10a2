"""Packages of foreign APIs, which only their backends need."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sglang.lang.errors import BackendError


def load(module: str, backend: str, install: str) -> Any:
    """The module.

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"sglang.{backend} needs the package {module}, which cannot be imported ({error}); "
            f"pip install {install}"
        ) from error


@contextmanager
def reporting() -> Iterator[None]:
    """Turn whatever a package raises into BackendError, with the status of HTTP if it has one."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        known = status if isinstance(status, int) else None
        raise BackendError(str(error) or type(error).__name__, known) from error
