"""Reading text that arrives in pieces as if it were all there.

A format is read by a generator that calls the methods of :class:`Reader` with ``yield from``. Where
a decision needs text that has not arrived, the method yields; the owner feeds the next piece and
resumes the generator. Decisions never depend on where one piece ends and the next begins, so any
split of a text is read the same way, and the work is proportional to the piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Something that is read, resumed whenever there is more text."""
Sink = Callable[[str], None]

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^\s\"'`<>\[\]{}()=,;|]*")
_SCALAR = re.compile(r"[\w.+-]*")
_NOT_PLAIN = re.compile(r"[^\s\w.+:,-]")
_IN_STRING = re.compile(r'["\\\x00-\x1f]')


class Tags:
    """Marks to look for in a text; none of them begins another."""

    def __init__(self, *tags: str) -> None:
        self._tags = tags
        self._firsts = frozenset(tag[0] for tag in tags)
        self._longest = max(map(len, tags), default=0)
        # Without tags: a pattern that matches nowhere.
        self._pattern = re.compile("|".join(map(re.escape, tags)) if tags else r"(?!)")

    def find(self, text: str, start: int) -> re.Match[str] | None:
        """The first tag at or after ``start``."""
        return self._pattern.search(text, start)

    def end_of_plain(self, text: str, start: int) -> int:
        """Up to where ``text``, which holds no tag, cannot be the beginning of one."""
        for i in range(max(start, len(text) - self._longest + 1), len(text)):
            if text[i] in self._firsts and any(tag.startswith(text[i:]) for tag in self._tags):
                return i
        return len(text)


NO_TAGS = Tags()


class Reader:
    """What has arrived and was not read yet."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._ended = False
        self._recorded: list[str] | None = None
        self._before = 0

    def feed(self, text: str) -> None:
        """Append what has arrived."""
        self._before += self._at
        self._text = self._text[self._at :] + text
        self._at = 0

    def end(self) -> None:
        """There will be no more."""
        self._ended = True

    @property
    def position(self) -> int:
        """How many characters have been read."""
        return self._before + self._at

    # ------------------------------------------------------------------ second thoughts

    def record(self, before: str = "") -> None:
        """Remember what is read from now on, as if it followed ``before``."""
        self._recorded = [before]

    def recorded(self) -> str:
        """What was read since :meth:`record`, which ends the recording."""
        text = "".join(self._recorded or ())
        self._recorded = None
        return text

    def _read(self, end: int) -> str:
        text = self._text[self._at : end]
        self._at = end
        if self._recorded is not None:
            self._recorded.append(text)
        return text

    # ------------------------------------------------------------------ words and tags

    def peek(self) -> Steps[str]:
        """The next character, which stays; "" at the end of the text."""
        while self._at == len(self._text):
            if self._ended:
                return ""
            yield
        return self._text[self._at]

    def char(self) -> Steps[str]:
        """Read the next character; "" at the end of the text."""
        if not (yield from self.peek()):
            return ""
        return self._read(self._at + 1)

    def accept(self, tag: str) -> Steps[bool]:
        """Read ``tag`` if it comes next."""
        while not self._text.startswith(tag, self._at):
            if self._ended or not self._is_part_of(tag):
                return False
            yield
        self._read(self._at + len(tag))
        return True

    def close(self, tag: str) -> Steps[bool]:
        """Read white space and ``tag``, if it is there; also a part of it that the text ends in."""
        yield from self.space()
        if (yield from self.accept(tag)):
            return True
        is_cut_off = self._at < len(self._text) and self._is_part_of(tag)
        if is_cut_off:
            self._read(len(self._text))
        return is_cut_off

    def _is_part_of(self, tag: str) -> bool:
        """Whether what is left of the text is the beginning of ``tag``."""
        # The lengths first: a long rest is not to be copied.
        return len(self._text) - self._at < len(tag) and tag.startswith(self._text[self._at :])

    def until(self, tags: Tags, sink: Sink) -> Steps[str | None]:
        """Hand the text before the first of ``tags`` to ``sink``, read the tag and return it.

        None if the text ends before.
        """
        while (found := tags.find(self._text, self._at)) is None:
            plain = len(self._text) if self._ended else tags.end_of_plain(self._text, self._at)
            if plain > self._at:
                sink(self._read(plain))
            if self._ended:
                return None
            yield
        if found.start() > self._at:
            sink(self._read(found.start()))
        self._read(found.end())
        return found.group()

    def space(self) -> Steps[str]:
        """Read white space."""
        return (yield from self._run(_SPACE))

    def word(self) -> Steps[str]:
        """Read what a function's name is made of; possibly nothing."""
        return (yield from self._run(_WORD))

    def _run(self, pattern: re.Pattern[str]) -> Steps[str]:
        parts: list[str] = []
        while True:
            found = pattern.match(self._text, self._at)
            assert found is not None
            parts.append(self._read(found.end()))
            if self._ended or self._at < len(self._text):
                return "".join(parts)
            yield

    # ------------------------------------------------------------------ JSON

    def json_string(self) -> Steps[str | None]:
        """Read a string and return what it says; None if there is none, or it is broken."""
        if (yield from self.peek()) != '"':
            return None
        parts: list[str] = []
        if not (yield from self.json_value(parts.append)):
            return None
        return decode_string("".join(parts))

    def json_value(self, sink: Sink, depth: int = 0) -> Steps[bool]:
        """Read a value, or the rest of one that is ``depth`` brackets deep, into ``sink``.

        Brackets and quotes are matched and the rest is taken as it is, but for control characters
        in strings, which are escaped as JSON demands. False if the value is not whole: it stops
        before a character that JSON does not have outside strings, or the text ends.
        """
        if depth == 0 and (yield from self.peek()) not in tuple('"{['):
            scalar = yield from self._run(_SCALAR)
            sink(scalar)
            return scalar != ""
        in_string = False
        while True:
            text, i = self._text, self._at
            while (found := (_IN_STRING if in_string else _NOT_PLAIN).search(text, i)) is not None:
                mark, i = found.group(), found.end()
                if mark == '"':
                    in_string = not in_string
                elif mark == "\\" and in_string:
                    if i == len(text) and not self._ended:
                        i -= 1  # wait for what is escaped
                        break
                    i += 1
                elif in_string:
                    sink(self._read(i - 1) + f"\\u{ord(mark):04x}")
                    self._read(i)
                elif mark in "{[":
                    depth += 1
                elif mark in "}]":
                    depth -= 1
                else:
                    sink(self._read(i - 1))
                    return False
                if depth == 0 and not in_string:
                    sink(self._read(i))
                    return True
            else:
                i = len(text)
            if i > self._at:
                sink(self._read(min(i, len(text))))
            if self._ended:
                return False
            yield


def decode_string(literal: str) -> str | None:
    """What a JSON string literal says; None if it is broken or says half a surrogate pair."""
    try:
        text = json.loads(literal, strict=False)
        text.encode()
    except (ValueError, AttributeError):
        return None
    return str(text)
