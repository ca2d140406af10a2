"""EBNF as a Lark grammar for llguidance.

llguidance reads lexemes, each as long as possible, and parses what they make. So that this means
the same as the EBNF, its parts are divided into lexemes with care; a grammar without recursion is
one single lexeme.
"""

from __future__ import annotations

from sglang.srt.constrained.ebnf import (
    CharClass,
    Choice,
    Node,
    Reference,
    Repeat,
    Rules,
    Sequence,
    without_literals,
)
from sglang.srt.constrained.ebnf_checks import ROOT
from sglang.srt.constrained.ebnf_lexemes import Lexeme, choose_lexemes


def to_lark(rules: Rules) -> str:
    """A Lark grammar of the same language."""
    rules = without_literals(rules)
    return _Writer(rules, choose_lexemes(rules)).grammar()


class _Writer:
    """Lark tells lexemes (in capitals) from rules by their names."""

    def __init__(self, rules: Rules, lexemes: dict[int, Lexeme]) -> None:
        self._rules = rules
        self._lexemes = lexemes
        self._numbers = {name: i for i, name in enumerate(rules)}
        self._lines: dict[str, str] = {}
        """Definitions by name."""

    def grammar(self) -> str:
        start = self._rule(ROOT)
        return "\n".join([f"start: {start}", *(f"{n}: {b}" for n, b in self._lines.items())])

    def _rule(self, name: str) -> str:
        mine = f"rule_{self._numbers[name]}"
        if mine not in self._lines:
            self._lines[mine] = ""
            self._lines[mine] = self._body(self._rules[name].body, inside=False)
        return mine

    def _lexeme_rule(self, name: str) -> str:
        mine = f"RULE_{self._numbers[name]}"
        if mine not in self._lines:
            self._lines[mine] = ""
            self._lines[mine] = self._body(self._rules[name].body, inside=True)
        return mine

    def _lexeme(self, node: Node) -> str:
        """A use of a lexeme. Those that can be empty are optional and not empty."""
        lexeme = self._lexemes[id(node)]
        if not lexeme.chars:
            return '""'
        if isinstance(node, CharClass):
            return _char_class(node)
        mine = f"LEXEME_{len(self._lines)}"
        self._lines[mine] = ""
        body = self._body(node, inside=True)
        self._lines[mine] = f"({body}) & /(.|\\n)+/" if lexeme.nullable else body
        return mine + "?" * lexeme.nullable

    def _body(self, node: Node, *, inside: bool) -> str:
        """``node`` as the body of a rule, ``inside`` of a lexeme or not."""
        if not inside and id(node) in self._lexemes:
            return self._lexeme(node)
        if isinstance(node, Choice):
            return " | ".join(self._body(item, inside=inside) for item in node.items)
        if isinstance(node, Sequence):
            return " ".join(self._atom(item, inside) for item in node.items) or '""'
        return self._atom(node, inside)

    def _atom(self, node: Node, inside: bool) -> str:
        if not inside and id(node) in self._lexemes:
            return self._lexeme(node)
        if isinstance(node, CharClass):
            return _char_class(node)
        if isinstance(node, Reference):
            return self._lexeme_rule(node.name) if inside else self._rule(node.name)
        if isinstance(node, Repeat):
            item = self._atom(node.item, inside)
            return (f"({item})" if item[-1] in "*+?}" else item) + _count(node)
        return f"({self._body(node, inside=inside)})"


def _count(node: Repeat) -> str:
    signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    high = "" if node.high is None else str(node.high)
    return signs.get((node.low, node.high), f"{{{node.low},{high}}}")


def _char_class(node: CharClass) -> str:
    ranges = "".join(
        _code(low) if low == high else f"{_code(low)}-{_code(high)}" for low, high in node.ranges
    )
    if not ranges:
        return r"/[\x{0}-\x{10FFFF}]/"
    return f"/[{'^' if node.negated else ''}{ranges}]/"


def _code(char: str) -> str:
    return f"\\x{{{ord(char):X}}}"
