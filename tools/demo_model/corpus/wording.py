"""Composes a user's wordings from independent parts, and keeps a share of them out of training.

``data/wordings`` holds *cores* in sections, one for each skill: what is asked for, in one of a few
grammatical kinds.  A core is put into a *frame* of its kind, may get something said before and
after it, and is typed the way people type.  A few cores and frames of every section, chosen by a
stable hash, are never used for training; the evaluation asks with just those cores.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
HELD_OUT = 0.06
"""Share of the cores and frames that training never sees."""
RAW = "raw"
"""The kind of a core that is a whole message."""
PLAIN = 0.25
"""How often a request is put in the plainest way, as most people put it most of the time."""

_CHOICE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"\$([A-Za-z_]+)")


class Speaker(random.Random):
    """A source of chance that knows which wordings it may use."""

    held_out = False
    """Use only cores that are kept out of training."""


def held_out_speaker(seed: int) -> Speaker:
    """A speaker for the evaluation."""
    speaker = Speaker(seed)
    speaker.held_out = True
    return speaker


@dataclass
class Section:
    """The cores of one request by kind, the first of them, and its fixed answer if it has one."""

    trained: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    held_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    plainest: tuple[str, str] = (RAW, "")
    answer: str = ""


@cache
def load(name: str) -> dict[str, Section]:
    """The sections of ``data/wordings/<name>.txt``."""
    text = (DATA / "wordings" / f"{name}.txt").read_text(encoding="utf-8")
    sections: dict[str, Section] = {}
    for block in re.split(r"^\[", text, flags=re.MULTILINE)[1:]:
        title, _, body = block.partition("]\n")
        cores, *answer = re.split(r"^answer: ", body, maxsplit=1, flags=re.MULTILINE)
        lines = [line for line in cores.splitlines() if line and not line.startswith("#")]
        sections[title] = Section(answer="".join(answer).strip())
        held = _kept_out(f"{name} {title}", lines)
        for line in lines:
            kind, _, core = line.partition(": ") if name != "frames" else (RAW, "", line)
            part = sections[title].held_out if line in held else sections[title].trained
            part[kind].append(core)
            if line == lines[0]:
                sections[title].plainest = kind, core
    return sections


def _kept_out(path: str, lines: list[str]) -> set[str]:
    """The lines with the smallest hashes; the first line, the plainest wording, is never one."""
    if len(lines) < 3:
        return set()
    ranked = sorted(
        set(lines[1:]) - {lines[0]},
        key=lambda line: hashlib.blake2b(f"{path} {line}".encode(), digest_size=8).digest(),
    )
    return set(ranked[: max(1, round(HELD_OUT * len(ranked)))])


def section(path: str) -> Section:
    """The section of a path like ``geography/capital``."""
    name, _, title = path.partition("/")
    return load(name)[title]


def spin(rng: Speaker, text: str, **values: object) -> str:
    """Expand ``{a|b|}`` to one alternative at random, then fill in ``$name`` from ``values``.

    The values go in last, so that they may hold braces of their own (JSON).  A name that begins
    with a capital stands for its value with a capital.
    """
    while "{" in text:
        expanded = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
        if expanded == text:
            break
        text = expanded
    return _NAME.sub(lambda found: _value(values, found[1]), text)


def _value(values: dict[str, object], name: str) -> str:
    text = str(values[name.lower()])
    return capitalized(text) if name[0].isupper() else text


def capitalized(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def _core(rng: Speaker, path: str) -> tuple[str, str]:
    """Kind and core: all cores alike when held out, else whole messages less often."""
    found = section(path)
    kinds = found.held_out if rng.held_out and found.held_out else found.trained
    weights = [len(cores) ** 0.5 * (0.7 if kind == RAW else 1.0) for kind, cores in kinds.items()]
    kind = rng.choices(list(kinds), weights)[0]
    return kind, rng.choice(kinds[kind])


def _frame(rng: Speaker, kind: str) -> str:
    frames = section(f"frames/{kind}")
    lines = frames.trained[RAW]
    return rng.choice([*lines, *frames.held_out[RAW]] if rng.held_out else lines)


def phrase(rng: Speaker, path: str, **values: object) -> str:
    """A wording of a section as it is written there, in a frame if it needs one."""
    kind, core = _core(rng, path)
    text = spin(rng, core, **values)
    if kind != RAW:
        text = capitalized(spin(rng, _frame(rng, kind), x=text))
    return text


def ask(rng: Speaker, path: str, *, exact: bool = False, **values: object) -> str:
    """A wording of a section with the small habits of people who type.

    ``exact`` leaves the letters alone, for requests whose answer repeats a part of them.
    """
    if not rng.held_out and rng.random() < PLAIN:
        return _plain(rng, path, **values)
    return dressed(rng, phrase(rng, path, **values), exact)


def _plain(rng: Speaker, path: str, **values: object) -> str:
    """A core, often the first one, in the first frame of its kind and nothing around it."""
    kind, core = section(path).plainest if rng.random() < 0.4 else _core(rng, path)
    frame = "$x" if kind == RAW else section(f"frames/{kind}").trained[RAW][0]
    return capitalized(spin(rng, frame, x=spin(rng, core, **values)))


def dressed(rng: Speaker, text: str, exact: bool = False) -> str:
    """Something said before and after, lost capitals and lost punctuation."""
    roll = rng.random()
    if roll < 0.28:
        before = _frame(rng, "before")
        words = text.split()
        small = before[-1] not in ".!?" and not words[0].startswith("I") and not exact
        if small and not words[0][1:2].isupper() and rng.random() < 0.7:
            text = text[0].lower() + text[1:]
        text = f"{before} {text}"
    if 0.2 < roll < 0.42:
        if text[-1].isalnum():
            text += rng.choice((".", "?", ",", ""))
        text += " " + _frame(rng, "after")
    return text if exact else typed(rng, text)


def typed(rng: Speaker, text: str) -> str:
    """Lower case, upper case, no punctuation, too much of it."""
    roll = rng.random()
    if roll < 0.10:
        text = text.lower()
    elif roll < 0.115:
        text = text.upper()
    roll = rng.random()
    if roll < 0.10:
        text = text.rstrip(".?!") or text
    elif roll < 0.13:
        text = text.replace("'", "").replace(",", "")
    elif roll < 0.15 and text[-1] in ".?!":
        text += text[-1] * rng.choice((1, 2))
    elif roll < 0.16:
        text = text.replace(" ", "  ", 1)
    return text
