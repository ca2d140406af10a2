"""What every corpus module shares: the sample type and small helpers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .wording import DATA, Speaker, phrase

Message = dict[str, Any]
Tool = dict[str, Any]
Exchange = tuple[str, str]
"""A question and its answer."""


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


Maker = Callable[[Speaker], Sample]
Exchanger = Callable[[Speaker], Exchange]

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen")  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
PEOPLE = [
    "Alice",
    "Bob",
    "Carol",
    "David",
    "Emma",
    "Frank",
    "Grace",
    "Henry",
    "Ivan",
    "Julia",
    "Kevin",
    "Laura",
    "Maria",
    "Nina",
    "Oscar",
    "Peter",
    "Rosa",
    "Sam",
    "Tina",
    "Victor",
    "Wendy",
    "Tom",
    "Anna",
    "John",
    "Mary",
    "James",
    "Linda",
    "Chen",
    "Yuki",
    "Omar",
]


def maybe_system(rng: Speaker, messages: list[Message]) -> list[Message]:
    """Put one of the ordinary system prompts in front, half of the time."""
    if rng.random() < 0.5:
        return messages
    trained = Speaker(rng.random())
    prompt = "You are a helpful assistant."
    if rng.random() < 0.5:
        prompt = phrase(trained, "systems/plain")
    if rng.random() < 0.05:
        prompt = f"{rng.randrange(100)}: {prompt}"
    return [{"role": "system", "content": prompt}, *messages]


def turns(*texts: str) -> list[Message]:
    """Messages that alternate between user and assistant, beginning with the user."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def chat(rng: Speaker, *texts: str, system: str | None = None) -> Sample:
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


def made_up_word(rng: Speaker, syllables: int = 2) -> str:
    """A pronounceable word that nobody has seen: only copying gets it right."""
    return "".join(
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l"))
        for _ in range(syllables)
    )


@cache
def lexicon() -> dict[str, list[str]]:
    """The lists of ``data/lexicon.txt``."""
    lines = (DATA / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    return {kind: listed.split() for kind, listed in (line.split(": ") for line in lines)}


def any_name(rng: Speaker) -> str:
    """A first name, known or made up."""
    roll = rng.random()
    if roll < 0.35:
        return rng.choice(PEOPLE)
    if roll < 0.65:
        return rng.choice(lexicon()["names"])
    return made_up_word(rng, 2).capitalize()


def in_words(number: int) -> str:
    """English name of 0..100."""
    if number < 20:
        return _ONES[number]
    if number == 100:
        return "one hundred"
    return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")
