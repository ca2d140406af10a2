"""Turns samples into prompt and answer texts with the very template that is shipped."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .corpus.base import Message, Sample, Tool

TEMPLATE_PATH = Path(__file__).with_name("chat_template.jinja")
_ANSWER = re.compile(r"(?<=<\|im_start\|>assistant\n).*?<\|im_end\|>", re.DOTALL)


def template_text() -> str:
    """The Jinja source of the chat template."""
    return TEMPLATE_PATH.read_text(encoding="utf-8").rstrip("\n")


@cache
def _template() -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    return environment.from_string(template_text())


def _to_json(value: Any) -> str:
    """JSON as transformers writes it in templates: no HTML escapes, keys in their order."""
    return json.dumps(value, ensure_ascii=False)


def render(
    messages: list[Message],
    tools: list[Tool] | None = None,
    parser: str = "llama3",
    add_generation_prompt: bool = True,
) -> str:
    """The prompt text of a conversation."""
    return _template().render(
        messages=messages,
        tools=tools,
        tool_call_parser=parser,
        add_generation_prompt=add_generation_prompt,
    )


def segments(sample: Sample) -> list[tuple[str, bool]]:
    """The pieces of a sample's text, each with whether it is to be learned.

    Prompt and answer are tokenized apart, as they are when the server answers, so that no token
    reaches over the border.
    """
    if sample.pieces:
        return sample.pieces
    if not sample.messages:
        answer = sample.text[len(sample.prompt) :] + sample.end
        return [(sample.prompt, False), (answer, True)] if sample.prompt else [(answer, True)]
    text = render(sample.messages, sample.tools, sample.parser, add_generation_prompt=False)
    pieces: list[tuple[str, bool]] = []
    position = 0
    for found in _ANSWER.finditer(text):
        pieces.append((text[position : found.start()], False))
        pieces.append((found[0], True))
        position = found.end()
    return pieces
