"""SGLang: a fast serving runtime for language models and a frontend language to program them.

Public names are loaded when they are first used: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sglang.lang.api import (
        assistant,
        assistant_begin,
        assistant_end,
        flush_cache,
        function,
        gen,
        gen_int,
        gen_string,
        get_server_info,
        image,
        select,
        separate_reasoning,
        system,
        system_begin,
        system_end,
        user,
        user_begin,
        user_end,
        video,
    )
    from sglang.lang.backend.anthropic import Anthropic
    from sglang.lang.backend.litellm import LiteLLM
    from sglang.lang.backend.openai import OpenAI
    from sglang.lang.backend.runtime import Runtime
    from sglang.lang.backend.runtime_endpoint import RuntimeEndpoint
    from sglang.lang.backend.vertexai import VertexAI
    from sglang.lang.choices import (
        greedy_token_selection,
        token_length_normalized,
        unconditional_likelihood_normalized,
    )
    from sglang.lang.default_backend import set_default_backend
    from sglang.srt.entrypoints.engine import Engine
    from sglang.srt.server_args import ServerArgs

__version__ = "0.4.3"

__all__ = [
    "Anthropic",
    "Engine",
    "LiteLLM",
    "OpenAI",
    "Runtime",
    "RuntimeEndpoint",
    "ServerArgs",
    "VertexAI",
    "__version__",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "flush_cache",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "get_server_info",
    "greedy_token_selection",
    "image",
    "select",
    "separate_reasoning",
    "set_default_backend",
    "system",
    "system_begin",
    "system_end",
    "token_length_normalized",
    "unconditional_likelihood_normalized",
    "user",
    "user_begin",
    "user_end",
    "video",
]

_HOMES = {
    "Anthropic": "sglang.lang.backend.anthropic",
    "Engine": "sglang.srt.entrypoints.engine",
    "LiteLLM": "sglang.lang.backend.litellm",
    "OpenAI": "sglang.lang.backend.openai",
    "Runtime": "sglang.lang.backend.runtime",
    "RuntimeEndpoint": "sglang.lang.backend.runtime_endpoint",
    "ServerArgs": "sglang.srt.server_args",
    "VertexAI": "sglang.lang.backend.vertexai",
    "greedy_token_selection": "sglang.lang.choices",
    "set_default_backend": "sglang.lang.default_backend",
    "token_length_normalized": "sglang.lang.choices",
    "unconditional_likelihood_normalized": "sglang.lang.choices",
    **dict.fromkeys(
        (
            "assistant",
            "assistant_begin",
            "assistant_end",
            "flush_cache",
            "function",
            "gen",
            "gen_int",
            "gen_string",
            "get_server_info",
            "image",
            "select",
            "separate_reasoning",
            "system",
            "system_begin",
            "system_end",
            "user",
            "user_begin",
            "user_end",
            "video",
        ),
        "sglang.lang.api",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'sglang' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
