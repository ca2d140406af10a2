"""Grammars in GGML's BNF: ``root ::= "yes" | [0-9]+``.

The notation of llama.cpp (grammars/README.md) and XGrammar: rules with literals, character classes,
groups, ``* + ? {m,n}`` and ``#`` comments; the first rule of all is ``root``. Line breaks mean
nothing beyond white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sglang.srt.constrained.grammar import GrammarError

MAX_NESTING = 100
MAX_RULES = 10_000
MAX_REPEAT = 10_000


@dataclass(frozen=True, slots=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True)
class CharClass:
    """A character in one of the ranges (both ends included), or in none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Reference:
    name: str
    offset: int
    """Where in the text."""


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    item: Node
    low: int
    high: int | None


Node = Literal | CharClass | Reference | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    offset: int
    body: Node


Rules = dict[str, Rule]


def parse_rules(text: str) -> Rules:
    """The rules of a grammar by name, as they are written.

    Raises:
        GrammarError: naming line and column.
    """
    return _Parser(text).rules()


def place(text: str, offset: int) -> str:
    """Line and column, for people."""
    before = text[:offset]
    return f"line {before.count(chr(10)) + 1}, column {offset - before.rfind(chr(10))}"


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Sequence | Choice):
        return node.items
    return (node.item,) if isinstance(node, Repeat) else ()


def nodes(node: Node) -> Iterator[Node]:
    """``node`` and everything inside of it."""
    yield node
    for child in children(node):
        yield from nodes(child)


def references(node: Node) -> Iterator[Reference]:
    """All references inside of ``node``."""
    return (each for each in nodes(node) if isinstance(each, Reference))


def without_literals(rules: Rules) -> Rules:
    """The same rules with characters in a row instead of literals."""
    return {name: Rule(name, rule.offset, _spelled(rule.body)) for name, rule in rules.items()}


def _spelled(node: Node) -> Node:
    if isinstance(node, Literal):
        chars = tuple(CharClass(((char, char),), negated=False) for char in node.text)
        return chars[0] if len(chars) == 1 else Sequence(chars)
    if isinstance(node, Sequence | Choice):
        return type(node)(tuple(_spelled(item) for item in node.items))
    if isinstance(node, Repeat):
        return Repeat(_spelled(node.item), node.low, node.high)
    return node


# ------------------------------------------------------------------ parsing

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DEFINED = re.compile(r"([A-Za-z0-9_-]+)(?:\s|#[^\n]*)*::=")
_COUNTS = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d*)\s*)?\}")
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def rules(self) -> Rules:
        rules: Rules = {}
        self._skip_space()
        while self._position < len(self._text):
            found = _DEFINED.match(self._text, self._position)
            if found is None:
                raise self._error("expected a rule such as: name ::= ...")
            name, offset = found[1], self._position
            if name in rules:
                raise self._error(f"the rule {name!r} is defined twice")
            if len(rules) >= MAX_RULES:
                raise self._error(f"there are more than {MAX_RULES} rules")
            self._position = found.end()
            rules[name] = Rule(name, offset, self._choice())
            if self._peek() == ")":
                raise self._error("this parenthesis closes nothing")
        return rules

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._peek() == "|":
            self._position += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if _DEFINED.match(self._text, self._position):
                break
            items.append(self._repeated(self._item()))
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Node:
        char = self._peek()
        if char == '"':
            return self._literal()
        if char == "[":
            return self._char_class()
        if char == "(":
            return self._group()
        if char == ".":
            self._position += 1
            return CharClass((("\n", "\n"),), negated=True)
        found = _NAME.match(self._text, self._position)
        if found is None:
            raise self._error(f"did not expect {char!r}")
        offset = self._position
        self._position = found.end()
        return Reference(found[0], offset)

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._error(f"groups are nested deeper than {MAX_NESTING}")
        opened = self._position
        self._position += 1
        node = self._choice()
        if self._peek() != ")":
            raise self._error("this parenthesis is not closed", opened)
        self._position += 1
        self._depth -= 1
        return node

    def _repeated(self, node: Node) -> Node:
        char = self._peek()
        if char == "" or char not in "*+?{":
            return node
        if char == "{":
            node = self._counted(node)
        else:
            self._position += 1
            node = Repeat(node, int(char == "+"), 1 if char == "?" else None)
        if (more := self._peek()) and more in "*+?{":
            raise self._error("a repetition of a repetition needs parentheses")
        return node

    def _counted(self, node: Node) -> Node:
        found = _COUNTS.match(self._text, self._position)
        if found is None:
            raise self._error("expected a repetition such as {2}, {2,} or {2,5}")
        low = int(found[1][:9])
        high = low if found[2] is None else int(found[3][:9]) if found[3] else None
        if max(low, high or 0) > MAX_REPEAT:
            raise self._error(f"at most {MAX_REPEAT} repetitions can be asked for")
        if high is not None and high < low:
            raise self._error(f"a repetition of at least {low} and at most {high}")
        self._position = found.end()
        return Repeat(node, low, high)

    def _literal(self) -> Literal:
        opened = self._position
        self._position += 1
        chars: list[str] = []
        while (char := self._char(opened, '"')) is not None:
            chars.append(char)
        return Literal("".join(chars))

    def _char_class(self) -> CharClass:
        opened = self._position
        self._position += 1
        negated = self._text.startswith("^", self._position)
        self._position += negated
        ranges: list[tuple[str, str]] = []
        while (low := self._char(opened, "]")) is not None:
            high = low
            if self._text.startswith("-", self._position) and not self._text.startswith(
                "-]", self._position
            ):
                self._position += 1
                end = self._char(opened, "]")
                assert end is not None
                high = end
            if high < low:
                raise self._error(f"the range {low!r}-{high!r} is empty")
            ranges.append((low, high))
        if not ranges and not negated:
            raise self._error("this character class is empty", opened)
        return CharClass(tuple(ranges), negated)

    def _char(self, opened: int, closing: str) -> str | None:
        """The next character of a literal or a class, None at its end."""
        char = self._text[self._position : self._position + 1]
        if char == "" or (char == "\n" and closing == '"'):
            raise self._error(f"the closing {closing} is missing", opened)
        self._position += 1
        if char == closing:
            return None
        return self._escaped() if char == "\\" else char

    def _escaped(self) -> str:
        char = self._text[self._position : self._position + 1]
        self._position += 1
        digits = _HEX_ESCAPES.get(char)
        if digits is None:
            if char == "" or (char.isalnum() and char not in _ESCAPES):
                raise self._error(f"the escape \\{char} is unknown")
            return _ESCAPES.get(char, char)
        text = self._text[self._position : self._position + digits]
        if not re.fullmatch(r"[0-9A-Fa-f]+", text) or len(text) < digits:
            raise self._error(f"\\{char} needs {digits} hexadecimal digits")
        self._position += digits
        code = int(text, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self._error(f"\\{char}{text} is no character")
        return chr(code)

    def _peek(self) -> str:
        """The next character that is not white space or comment, "" at the end."""
        self._skip_space()
        return self._text[self._position : self._position + 1]

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._position)
        assert found is not None
        self._position = found.end()

    def _error(self, problem: str, offset: int | None = None) -> GrammarError:
        where = place(self._text, self._position if offset is None else offset)
        return GrammarError(f"{where}: {problem}")
