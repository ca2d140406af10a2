"""How the turns of a chat are written into one text, for backends that complete plain text.

A template is two marks a role: what opens a turn and what closes it. That is enough for a
program, which writes turns one piece at a time and may generate anywhere within one; it is less
than the Jinja templates of servers can do. Servers of this project tell the marks of theirs; the
formats here are for those that do not, and for who wants another one. The mark that begins a
sequence is not among them, because tokenizers add it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ChatTemplate:
    """The marks of one format."""

    name: str
    roles: Mapping[str, tuple[str, str]]
    """Role -> (what opens its turn, what closes it).

    Where a model begins its answers with a space, the opening has none.
    """
    stop: tuple[str, ...] = ()
    """What a model that misses its end token writes next; ends an answer."""
    default_system: str | None = None
    """Said first if the program says nothing as system."""
    joins_system: bool = False
    """The format has no system turn: the text opens the user turn, which follows."""
    begin: str = ""
    """What stands before everything, where the tokenizer does not add it."""
    image: str = "<image>"
    """Where an image stands."""
    models: str | None = field(default=None, repr=False)
    """A regular expression found in the paths of models that were trained on this format."""

    def opening(self, role: str, previous: str | None = None) -> str:
        """What is written before a turn of ``role`` that follows one of ``previous``.

        Raises:
            ValueError: the format has no such role.
        """
        if role not in self.roles:
            raise ValueError(
                f"the chat template {self.name!r} has no role {role!r}; it has "
                + ", ".join(self.roles)
            )
        if self.joins_system and previous == "system" and role == "user":
            return ""
        return self.roles[role][0]

    def closing(self, role: str) -> str:
        """What is written after a turn of ``role``."""
        return self.roles[role][1]


def _alike(opening: str, closing: str) -> dict[str, tuple[str, str]]:
    """Formats that write the name of the role."""
    roles = ("system", "user", "assistant", "tool")
    return {role: (opening.format(role=role), closing) for role in roles}


_CHATML = _alike("<|im_start|>{role}\n", "<|im_end|>\n")
_LLAMA_3 = _alike("<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>")

# The first whose `models` is found in a model's path is taken, so special cases come first.
_KNOWN = (
    ChatTemplate(
        "qwen2-vl",
        _CHATML,
        stop=("<|im_end|>",),
        default_system="You are a helpful assistant.",
        image="<|vision_start|><|image_pad|><|vision_end|>",
        models=r"qwen2[\d.]*-vl",
    ),
    ChatTemplate(
        "qwen",
        _CHATML,
        stop=("<|im_end|>",),
        default_system="You are a helpful assistant.",
        models=r"qwen(1\.5|2|2\.5)?-(?!vl)|qwq",
    ),
    ChatTemplate(
        "chatml",
        _CHATML,
        stop=("<|im_end|>",),
        models=r"qwen3|demo-model|chatml|yi-.*chat|internlm2|hermes|smollm|dbrx",
    ),
    ChatTemplate(
        "deepseek-v3",
        {
            "system": ("", ""),
            "user": ("<｜User｜>", ""),  # noqa: RUF001
            "assistant": ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),  # noqa: RUF001
        },
        stop=("<｜end▁of▁sentence｜>",),  # noqa: RUF001
        models=r"deepseek-(v3|r1)",
    ),
    ChatTemplate(
        "llama-3",
        {**_LLAMA_3, "tool": (_LLAMA_3["tool"][0].replace("tool", "ipython"), "<|eot_id|>")},
        stop=("<|eot_id|>", "<|end_of_text|>"),
        image="<|image|>",
        models=r"llama-?3",
    ),
    ChatTemplate(
        "llama-4",
        _alike("<|header_start|>{role}<|header_end|>\n\n", "<|eot|>"),
        stop=("<|eot|>",),
        image="<|image|>",
        models=r"llama-?4",
    ),
    ChatTemplate(
        "llama-2",
        {
            "system": ("[INST] <<SYS>>\n", "\n<</SYS>>\n\n"),
            "user": ("[INST] ", " [/INST]"),
            "assistant": ("", " </s><s>"),
        },
        stop=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        joins_system=True,
        models=r"llama-?2.*chat|codellama.*instruct",
    ),
    ChatTemplate(
        "gemma",
        {
            "system": ("<start_of_turn>user\n", "\n\n"),
            "user": ("<start_of_turn>user\n", "<end_of_turn>\n"),
            "assistant": ("<start_of_turn>model\n", "<end_of_turn>\n"),
        },
        stop=("<end_of_turn>",),
        joins_system=True,
        image="<start_of_image>",
        models=r"gemma.*-it",
    ),
    ChatTemplate(
        "mistral",
        {
            "system": ("[INST] ", "\n\n"),
            "user": ("[INST] ", " [/INST]"),
            "assistant": ("", "</s>"),
        },
        stop=("[INST]", "[/INST]"),
        joins_system=True,
        models=r"(mistral|mixtral|ministral).*instruct",
    ),
    ChatTemplate(
        "phi-3",
        _alike("<|{role}|>\n", "<|end|>\n"),
        stop=("<|end|>", "<|endoftext|>"),
        models=r"phi-(3|4-mini)",
    ),
    ChatTemplate("zephyr", _alike("<|{role}|>\n", "</s>\n"), stop=("</s>",), models="zephyr"),
    ChatTemplate(
        "vicuna",
        {
            "system": ("", " "),
            "user": ("USER: ", " "),
            "assistant": ("ASSISTANT:", "</s>"),
        },
        stop=("USER:", "</s>"),
        default_system=(
            "A chat between a curious user and an artificial intelligence assistant. The "
            "assistant gives helpful, detailed, and polite answers to the user's questions."
        ),
        models=r"vicuna|llava-v1\.5",
    ),
)

PLAIN = ChatTemplate(
    "plain",
    {
        "system": ("SYSTEM: ", "\n"),
        "user": ("USER: ", "\n"),
        "assistant": ("ASSISTANT: ", "\n"),
        "tool": ("TOOL: ", "\n"),
    },
    stop=("\nUSER:",),
)
"""For models that nothing is known about."""

MESSAGES = ChatTemplate("messages", PLAIN.roles)
"""How turns look in ``s.text()`` where the backend is given messages, which end by themselves.

Backends that have it take nothing but turns.
"""

TEMPLATES: Mapping[str, ChatTemplate] = {template.name: template for template in (*_KNOWN, PLAIN)}


def from_marks(marks: Mapping[str, Any], image: str) -> ChatTemplate:
    """The template that a server tells of in ``chat_marks`` of ``/get_server_info``."""
    return ChatTemplate(
        "server",
        {role: (opening, closing) for role, (opening, closing) in marks["roles"].items()},
        stop=tuple(marks["stop"]),
        default_system=marks["default_system"],
        joins_system=marks["joins_system"],
        begin=marks["begin"],
        image=image,
    )


def template_named(name: str) -> ChatTemplate:
    """The template of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in TEMPLATES:
        raise ValueError(f"no chat template {name!r}; there are " + ", ".join(TEMPLATES))
    return TEMPLATES[name]


def template_for(model_path: str) -> ChatTemplate:
    """The template of the family that the model's path or name tells of; else ``PLAIN``."""
    path = model_path.lower().replace("_", "-")
    for template in _KNOWN:
        if template.models and re.search(template.models, path):
            return template
    return PLAIN
