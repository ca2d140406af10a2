"""Values of options that are many. The rooms that implement them test that these are theirs."""

from __future__ import annotations

TOOL_CALL_PARSERS = (
    "llama3",
    "mistral",
    "qwen25",
    "hermes",
    "deepseekv3",
    "pythonic",
    "internlm",
    "kimi_k2",
    "glm45",
    "gpt-oss",
    "qwen3_coder",
)
REASONING_PARSERS = (
    "deepseek-r1",
    "deepseek-v3",
    "qwen3",
    "qwen3-thinking",
    "glm45",
    "kimi",
    "kimi_k2",
    "step3",
    "magistral",
    "seed-oss",
    "gpt-oss",
)
