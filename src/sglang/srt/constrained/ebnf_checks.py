"""What a grammar must fulfil beyond its notation: all rules are there, and each can be followed."""

from __future__ import annotations

from collections.abc import Iterator

from sglang.srt.constrained.ebnf import (
    Choice,
    Literal,
    Node,
    Reference,
    Repeat,
    Rule,
    Rules,
    Sequence,
    children,
    parse_rules,
    place,
    references,
)
from sglang.srt.constrained.grammar import GrammarError

ROOT = "root"


def parse_ebnf(text: str) -> Rules:
    """The rules that a grammar's ``root`` needs, by name.

    Each of them exists and can come to an end, and none begins with itself.

    Raises:
        GrammarError: naming line and column.
    """
    rules = parse_rules(text)
    if ROOT not in rules:
        raise GrammarError(f"there is no rule {ROOT!r}, with which a grammar begins")
    for rule in rules.values():
        for reference in references(rule.body):
            if reference.name not in rules:
                where = place(text, reference.offset)
                raise GrammarError(f"{where}: there is no rule {reference.name!r}")
    problem = _endless(rules) or _left_recursive(rules)
    if problem is not None:
        rule, message = problem
        raise GrammarError(f"{place(text, rule.offset)}: the rule {rule.name!r} {message}")
    return {name: rules[name] for name in rules if name in reachable(rules)}


def reachable(rules: Rules) -> set[str]:
    """The rules that take part in what ``root`` describes."""
    found = {ROOT}
    pending = [ROOT]
    while pending:
        for reference in references(rules[pending.pop()].body):
            if reference.name not in found:
                found.add(reference.name)
                pending.append(reference.name)
    return found


def recursive_rules(rules: Rules) -> set[str]:
    """The rules that can contain themselves."""
    inside = {name: {r.name for r in references(rule.body)} for name, rule in rules.items()}
    # Take away, again and again, what contains nothing that is left.
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, names in inside.items():
        for used in names:
            users[used].append(name)
    pending = [name for name, names in inside.items() if not names]
    left = set(rules)
    while pending:
        name = pending.pop()
        left.discard(name)
        for user in users[name]:
            inside[user].discard(name)
            if not inside[user] and user in left:
                pending.append(user)
    return left


Problem = tuple[Rule, str]


def _endless(rules: Rules) -> Problem | None:
    """A rule that cannot end, as ``a ::= "x" a`` alone."""
    ending: set[str] = set()
    while True:
        more = {r.name for r in rules.values() if r.name not in ending and _ends(r.body, ending)}
        if not more:
            break
        ending |= more
    for rule in rules.values():
        if rule.name not in ending:
            return rule, "goes on for ever"
    return None


def _ends(node: Node, ending: set[str]) -> bool:
    if isinstance(node, Reference):
        return node.name in ending
    if isinstance(node, Repeat):
        return node.low == 0 or _ends(node.item, ending)
    if isinstance(node, Choice):
        return any(_ends(item, ending) for item in node.items)
    return all(_ends(item, ending) for item in children(node))


def _left_recursive(rules: Rules) -> Problem | None:
    empty = _nullable(rules)
    firsts = {name: set(_first_rules(rule.body, empty)) for name, rule in rules.items()}
    for rule in rules.values():
        reached: set[str] = set()
        pending = list(firsts[rule.name])
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending += firsts[name]
        if rule.name in reached:
            return rule, "begins with itself (left recursion); write it as a repetition"
    return None


def _nullable(rules: Rules) -> set[str]:
    """The rules that can be empty."""
    empty: set[str] = set()
    while True:
        more = {r.name for r in rules.values() if r.name not in empty and _is_empty(r.body, empty)}
        if not more:
            return empty
        empty |= more


def _is_empty(node: Node, empty: set[str]) -> bool:
    if isinstance(node, Literal):
        return not node.text
    if isinstance(node, Reference):
        return node.name in empty
    if isinstance(node, Repeat):
        return node.low == 0 or _is_empty(node.item, empty)
    if isinstance(node, Choice):
        return any(_is_empty(item, empty) for item in node.items)
    return isinstance(node, Sequence) and all(_is_empty(item, empty) for item in node.items)


def _first_rules(node: Node, empty: set[str]) -> Iterator[str]:
    """The rules with which ``node`` can begin."""
    if isinstance(node, Reference):
        yield node.name
    for child in children(node):
        yield from _first_rules(child, empty)
        if isinstance(node, Sequence) and not _is_empty(child, empty):
            break
