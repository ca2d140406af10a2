"""How each format writes calls, for tests."""

# ruff: noqa: RUF001 -- the tags have these characters

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

from sglang.srt.function_call_parser import FunctionCallParser, ToolCallItem
from sglang.srt.managers.io_struct import Function, Tool

PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "details": {"type": "object"},
    },
}
TOOLS = [
    Tool(Function("get_weather", "The weather", PARAMETERS)),
    Tool(Function("now")),
    Tool(Function("find-it_2", "Find", {"type": "object"})),
]

Calls = Sequence[tuple[str, dict[str, Any]]]
Found = list[tuple[str | None, str]]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def hermes(calls: Calls) -> str:
    return "\n".join(
        f'<tool_call>\n{{"name": "{name}", "arguments": {_json(args)}}}\n</tool_call>'
        for name, args in calls
    )


def llama3(calls: Calls) -> str:
    objects = [f'{{"name": "{name}", "parameters": {_json(args)}}}' for name, args in calls]
    return "<|python_tag|>" + "; ".join(objects)


def mistral(calls: Calls) -> str:
    objects = [f'{{"name": "{name}", "arguments": {_json(args)}}}' for name, args in calls]
    return f"[TOOL_CALLS] [{', '.join(objects)}]"


def new_mistral(calls: Calls) -> str:
    return "".join(f"[TOOL_CALLS]{name}[ARGS]{_json(args)}" for name, args in calls)


def deepseek_v3(calls: Calls) -> str:
    blocks = [
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{_json(args)}\n```"
        "<｜tool▁call▁end｜>"
        for name, args in calls
    ]
    return "<｜tool▁calls▁begin｜>" + "\n".join(blocks) + "<｜tool▁calls▁end｜>"


def deepseek_v31(calls: Calls) -> str:
    blocks = [
        f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{_json(args)}<｜tool▁call▁end｜>"
        for name, args in calls
    ]
    return "<｜tool▁calls▁begin｜>" + "".join(blocks) + "<｜tool▁calls▁end｜>"


def kimi_k2(calls: Calls) -> str:
    blocks = [
        f"<|tool_call_begin|>functions.{name}:{i}<|tool_call_argument_begin|>{_json(args)}"
        "<|tool_call_end|>"
        for i, (name, args) in enumerate(calls)
    ]
    return "<|tool_calls_section_begin|>" + "".join(blocks) + "<|tool_calls_section_end|>"


def internlm(calls: Calls) -> str:
    return "\n".join(
        f'<|action_start|><|plugin|>\n{{"name": "{name}", "parameters": {_json(args)}}}'
        "<|action_end|>"
        for name, args in calls
    )


def gpt_oss(calls: Calls) -> str:
    return "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{_json(args)}"
        "<|call|>"
        for name, args in calls
    )


def glm45(calls: Calls) -> str:
    def block(name: str, args: dict[str, Any]) -> str:
        pairs = [
            f"<arg_key>{key}</arg_key>\n<arg_value>{_as_text(value)}</arg_value>\n"
            for key, value in args.items()
        ]
        return f"<tool_call>{name}\n{''.join(pairs)}</tool_call>"

    return "\n".join(block(name, args) for name, args in calls)


def qwen3_coder(calls: Calls) -> str:
    def block(name: str, args: dict[str, Any]) -> str:
        parameters = [
            f"<parameter={key}>\n{_as_text(value)}\n</parameter>\n" for key, value in args.items()
        ]
        return f"<tool_call>\n<function={name}>\n{''.join(parameters)}</function>\n</tool_call>"

    return "\n".join(block(name, args) for name, args in calls)


def pythonic(calls: Calls) -> str:
    def one(name: str, args: dict[str, Any]) -> str:
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in args.items())})"

    return f"[{', '.join(one(name, args) for name, args in calls)}]"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


WRITERS: dict[str, tuple[str, Callable[[Calls], str]]] = {
    "llama3": ("llama3", llama3),
    "qwen25": ("qwen25", hermes),
    "hermes": ("hermes", hermes),
    "mistral": ("mistral", mistral),
    "new mistral": ("mistral", new_mistral),
    "deepseekv3": ("deepseekv3", deepseek_v3),
    "deepseek v3.1": ("deepseekv3", deepseek_v31),
    "kimi_k2": ("kimi_k2", kimi_k2),
    "internlm": ("internlm", internlm),
    "gpt-oss": ("gpt-oss", gpt_oss),
    "glm45": ("glm45", glm45),
    "qwen3_coder": ("qwen3_coder", qwen3_coder),
    "pythonic": ("pythonic", pythonic),
}
"""Label -> name of the parser and how the format writes calls."""


def parse(name: str, text: str) -> tuple[str, Found]:
    """Text and calls of a whole answer."""
    rest, calls = FunctionCallParser(TOOLS, name).parse_non_stream(text)
    return rest, [(call.name, call.parameters) for call in calls]


def stream(name: str, pieces: Sequence[str]) -> list[tuple[str, list[ToolCallItem]]]:
    """What each piece of an answer adds, and its end."""
    parser = FunctionCallParser(TOOLS, name)
    return [*(parser.parse_stream_chunk(piece) for piece in pieces), parser.finish()]


def joined(steps: Sequence[tuple[str, list[ToolCallItem]]]) -> tuple[str, Found]:
    """Text and calls of a stream, put together the way a client does it."""
    calls: dict[int, tuple[str | None, str]] = {}
    for _, items in steps:
        for item in items:
            if item.name is not None:
                assert item.tool_index == len(calls), "a call begins once, with its name"
                calls[item.tool_index] = (item.name, "")
            name, arguments = calls[item.tool_index]
            calls[item.tool_index] = (name, arguments + item.parameters)
    return "".join(text for text, _ in steps), list(calls.values())


def cut(text: str, ends: Sequence[int]) -> list[str]:
    """``text`` in pieces that end at ``ends``."""
    marks = sorted({0, len(text), *(end % (len(text) + 1) for end in ends)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]
