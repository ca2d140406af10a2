"""EBNF as XGrammar reads it, from rules that were checked."""

from __future__ import annotations

from sglang.srt.constrained.ebnf import (
    CharClass,
    Choice,
    Literal,
    Node,
    Reference,
    Repeat,
    Rules,
    Sequence,
)


def to_text(rules: Rules) -> str:
    """The rules in the plainest notation."""
    return "\n".join(f"{rule.name} ::= {_body(rule.body)}" for rule in rules.values())


def _body(node: Node) -> str:
    if isinstance(node, Choice):
        return " | ".join(_body(item) for item in node.items)
    if isinstance(node, Sequence):
        return " ".join(_atom(item) for item in node.items) or '""'
    return _atom(node)


def _atom(node: Node) -> str:
    if isinstance(node, Literal):
        return '"' + "".join(_code(char) for char in node.text) + '"'
    if isinstance(node, CharClass):
        ranges = "".join(f"{_code(low)}-{_code(high)}" for low, high in node.ranges)
        return f"[{'^' if node.negated else ''}{ranges}]"
    if isinstance(node, Reference):
        return node.name
    if isinstance(node, Repeat):
        high = "" if node.high is None else str(node.high)
        signs = {(0, None): "*", (1, None): "+", (0, 1): "?"}
        count = signs.get((node.low, node.high), f"{{{node.low},{high}}}")
        return (
            f"({_atom(node.item)})" if isinstance(node.item, Repeat) else _atom(node.item)
        ) + count
    return f"({_body(node)})"


def _code(char: str) -> str:
    return char if char.isascii() and char.isalnum() else f"\\U{ord(char):08X}"
