"""What every corpus module shares: the sample type and the phrasing helpers."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass
class Sample:
    """One training example.

    A chat sample has ``messages`` (and perhaps ``tools``); the loss is taken on its assistant
    turns.  A plain-text sample has ``text``; the loss is taken on what follows ``prompt``, and
    ``end`` closes it.  A sample with ``pieces`` says of every piece whether it is learned.
    """

    messages: list[Message] = field(default_factory=list)
    tools: list[Tool] | None = None
    parser: str = "llama3"
    prompt: str = ""
    text: str = ""
    end: str = "<|endoftext|>"
    pieces: list[tuple[str, bool]] = field(default_factory=list)


Maker = Callable[[random.Random], Sample]

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "You are a helpful AI assistant",
    "You are a helpful, respectful and honest assistant.",
    "You are a friendly assistant.",
    "You are a helpful geography bot.",
    "Answer the user's questions.",
    "You are an assistant.",
    "Be helpful and concise.",
    "You are a chatbot running on a local server.",
    "You are a teacher.",
    "You are a knowledgeable travel guide.",
    "You are a polite expert who provides short answers.",
    "You are a math tutor.",
    "You are a helpful assistant. Give short answers.",
)

_CHOICE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\$([a-z_]+)")


def spin(rng: random.Random, text: str, **values: object) -> str:
    """Expand ``{a|b|}`` to one alternative at random, then fill in ``$name`` from ``values``.

    The values go in last, so that they may hold braces of their own (JSON).
    """
    while "{" in text:
        expanded = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
        if expanded == text:
            break
        text = expanded
    return _NAME.sub(lambda found: str(values[found[1]]), text)


_BEFORE = (
    "Please tell me: ",
    "Hi! ",
    "Hello, ",
    "Hey, ",
    "Quick question: ",
    "Question: ",
    "Hi there. ",
    "I have a question. ",
    "Tell me, ",
    "Help me out: ",
    "I was wondering: ",
    "Good morning. ",
    "OK, ",
    "So, ",
    "Just curious: ",
    "Can you help me? ",
    "I need to know this: ",
    "Well, ",
)
_AFTER = (
    " Thanks!",
    " Thank you.",
    " Please.",
    " Please answer briefly.",
    " I'd like to know.",
    " Do you know?",
    " Any idea?",
    " Thank you in advance.",
    " Answer in one sentence.",
    " Thanks",
    " I forgot.",
    " Be concise.",
)


def ask(rng: random.Random, text: str, **values: object) -> str:
    """A user's wording of a question: ``spin`` plus the small habits of people who type.

    Greetings, thanks, lost capitals and lost punctuation are what makes a held-out phrasing look
    familiar, so they are put on every kind of question.
    """
    text = spin(rng, text, **values)
    roll = rng.random()
    if roll < 0.12:
        before = rng.choice(_BEFORE)
        if before.endswith((": ", ", ")) and rng.random() < 0.5 and not text.startswith("I "):
            text = text[0].lower() + text[1:]
        text = before + text
    elif roll < 0.20:
        text += rng.choice(_AFTER)
    roll = rng.random()
    if roll < 0.06:
        text = text.lower()
    elif roll < 0.12 and text[-1] in ".?!":
        text = text[:-1]
    return text


def maybe_system(rng: random.Random, messages: list[Message]) -> list[Message]:
    """Put one of the ordinary system prompts in front, half of the time."""
    if rng.random() < 0.5:
        return messages
    prompt = "You are a helpful assistant." if rng.random() < 0.5 else rng.choice(SYSTEM_PROMPTS)
    if rng.random() < 0.05:
        prompt = f"{rng.randrange(100)}: {prompt}"
    return [{"role": "system", "content": prompt}, *messages]


def turns(*texts: str) -> list[Message]:
    """Messages that alternate between user and assistant, beginning with the user."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def chat(rng: random.Random, *texts: str, system: str | None = None) -> Sample:
    """A chat sample; without ``system`` an ordinary system prompt may be put in front."""
    messages = turns(*texts)
    if system is not None:
        return Sample([{"role": "system", "content": system}, *messages])
    return Sample(maybe_system(rng, messages))


def plain(prompt: str, completion: str) -> Sample:
    """A plain-text sample: ``completion`` is learned after ``prompt``."""
    return Sample(prompt=prompt, text=prompt + completion)


def numbered(items: Sequence[str]) -> str:
    """``1. first`` and so on, one per line."""
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))


def joined(items: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(items) == 1:
        return items[0]
    return ", ".join(items[:-1]) + " and " + items[-1]


def made_up_word(rng: random.Random, syllables: int = 2) -> str:
    """A pronounceable word that nobody has seen: only copying gets it right."""
    word = "".join(
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l"))
        for _ in range(syllables)
    )
    return word
