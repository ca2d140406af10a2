"""SGLang: a fast serving runtime for language models and a frontend language to program them.

Public names are loaded when they are first used: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sglang.srt.entrypoints.engine import Engine
    from sglang.srt.server_args import ServerArgs

__version__ = "0.4.3"

__all__ = ["Engine", "ServerArgs", "__version__"]

_HOMES = {
    "Engine": "sglang.srt.entrypoints.engine",
    "ServerArgs": "sglang.srt.server_args",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'sglang' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
