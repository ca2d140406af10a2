"""Which parts of a recursive grammar may be lexemes of a parser that reads the longest first.

Such a parser goes on with a lexeme while it can. That is wrong only if, where a lexeme is complete,
the next character may continue it (or another one that was read alongside) and may as well begin
what follows. Parts for which this can happen are taken apart, in the end into single characters.
Everything is estimated towards taking apart: what is kept whole is read right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

from sglang.srt.constrained.char_sets import Alphabet
from sglang.srt.constrained.ebnf import (
    CharClass,
    Choice,
    Node,
    Reference,
    Repeat,
    Rules,
    children,
    nodes,
)
from sglang.srt.constrained.ebnf_checks import ROOT, recursive_rules

MAX_POSITIONS = 600
"""Characters in all lexemes together that are compared with each other."""

Ids = frozenset[int]


def choose_lexemes(rules: Rules) -> dict[int, Lexeme]:
    """The nodes of the rules that are lexemes, by id; the way to a character passes just one.

    The rules have no literals but character classes in rows. A reference may be a lexeme; then the
    rule that it means is a part of it.
    """
    recursive = recursive_rules(rules)
    classes = (n for r in rules.values() for n in nodes(r.body) if isinstance(n, CharClass))
    alphabet = Alphabet(classes)
    apart: set[int] = set()
    while True:
        division = _Division(rules, recursive, apart, alphabet)
        bad = division.ambiguous() if recursive else set()
        if not bad:
            return division.lexemes
        apart |= bad


@dataclass(slots=True)
class Lexeme:
    """The characters of a lexeme as positions (V. M. Glushkov, 1961)."""

    chars: list[int] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    first: set[int] = field(default_factory=set)
    last: set[int] = field(default_factory=set)
    nullable: bool = True


class _Division:
    """One division of a grammar into lexemes, and what follows them."""

    def __init__(
        self, rules: Rules, recursive: set[str], apart: set[int], alphabet: Alphabet
    ) -> None:
        self._rules = rules
        self._recursive = recursive
        self._apart = apart
        self._alphabet = alphabet
        self._regular: dict[int, bool] = {}
        self.lexemes: dict[int, Lexeme] = {}
        # Sets of lexemes: what begins a rule, what follows it, what follows a lexeme.
        self._first: dict[str, Ids] = dict.fromkeys(rules, frozenset())
        self._after: dict[str, Ids] = dict.fromkeys(rules, frozenset())
        self._followers: dict[int, Ids] = {}
        self._nullable: dict[str, bool] = dict.fromkeys(rules, False)
        self._settle()

    def ambiguous(self) -> set[int]:
        """Lexemes that may be read too far."""
        if sum(len(lexeme.chars) for lexeme in self.lexemes.values()) > MAX_POSITIONS:
            return {i for i, lexeme in self.lexemes.items() if len(lexeme.chars) > 1}
        bad: set[int] = set()
        begins = {i: self._first_bytes(lexeme) for i, lexeme in self.lexemes.items()}
        after = {i: union(begins[j] for j in self._followers[i]) for i in self.lexemes}
        pending = list(product(self._first[ROOT], self._first[ROOT]))
        alongside: set[tuple[int, int]] = set()
        while pending:
            i, j = pair = pending.pop()
            if pair in alongside:
                continue
            alongside.add(pair)
            same, reads_on = self._compare(self.lexemes[i], self.lexemes[j], after[i])
            if reads_on:
                bad.add(j)
            if same:  # then whatever follows either may be read alongside, too
                pending += product(self._followers[i], self._followers[j])
        return bad

    # ------------------------------------------------------------------ division

    def _is_lexeme(self, node: Node) -> bool:
        return id(node) not in self._apart and self._is_regular(node)

    def _is_regular(self, node: Node) -> bool:
        if id(node) not in self._regular:
            self._regular[id(node)] = (
                node.name not in self._recursive
                if isinstance(node, Reference)
                else all(self._is_regular(child) for child in children(node))
            )
        return self._regular[id(node)]

    def _read(self, node: Node) -> Lexeme:
        if id(node) not in self.lexemes:
            lexeme = self.lexemes[id(node)] = Lexeme()
            first, last, nullable = self._add(lexeme, node)
            lexeme.first, lexeme.last, lexeme.nullable = first, last, nullable
        return self.lexemes[id(node)]

    def _add(self, lexeme: Lexeme, node: Node) -> tuple[set[int], set[int], bool]:
        """Positions for ``node``; which begin it, which end it, and whether it can be empty."""
        if isinstance(node, Reference):
            return self._add(lexeme, self._rules[node.name].body)
        if len(lexeme.chars) > MAX_POSITIONS:
            return set(), set(), True  # it will be taken apart anyway
        if isinstance(node, CharClass):
            lexeme.chars.append(self._alphabet.set_of(node))
            lexeme.follow.append(set())
            place = {len(lexeme.chars) - 1}
            return place, place, False
        if isinstance(node, Choice):
            parts = [self._add(lexeme, item) for item in node.items]
            first = {position for begin, _, _ in parts for position in begin}
            last = {position for _, end, _ in parts for position in end}
            return first, last, any(empty for _, _, empty in parts)
        if isinstance(node, Repeat):
            return self._add_repeat(lexeme, node)
        return self._add_row(lexeme, children(node))

    def _add_row(self, lexeme: Lexeme, items: Iterable[Node]) -> tuple[set[int], set[int], bool]:
        first: set[int] = set()
        last: set[int] = set()
        nullable = True
        for item in items:
            item_first, item_last, item_nullable = self._add(lexeme, item)
            for position in last:
                lexeme.follow[position] |= item_first
            first |= item_first if nullable else set()
            last = item_last | (last if item_nullable else set())
            nullable &= item_nullable
        return first, last, nullable

    def _add_repeat(self, lexeme: Lexeme, node: Repeat) -> tuple[set[int], set[int], bool]:
        """More than one repetition are looked at as if there were no limit."""
        first, last, nullable = self._add(lexeme, node.item)
        if node.high != 1:
            for position in last:
                lexeme.follow[position] |= first
        return first, last, nullable or node.low == 0

    # ------------------------------------------------------------------ what follows

    def _settle(self) -> None:
        """Find what begins and follows each part, until nothing new turns up."""
        while True:
            before = (dict(self._first), dict(self._nullable))
            for name in self._grammar_rules():
                self._first[name], self._nullable[name] = self._begin(self._rules[name].body)
            if before == (self._first, self._nullable):
                break
        while True:
            known = (dict(self._after), dict(self._followers))
            for name in self._grammar_rules():
                self._spread(self._rules[name].body, self._after[name])
            if known == (self._after, self._followers):
                break

    def _grammar_rules(self) -> list[str]:
        """The rules that are not inside of lexemes only."""
        found = [ROOT]
        for name in found:
            pending = [self._rules[name].body]
            while pending:
                node = pending.pop()
                if self._is_lexeme(node):
                    continue
                if isinstance(node, Reference) and node.name not in found:
                    found.append(node.name)
                pending += children(node)
        return found

    def _begin(self, node: Node) -> tuple[Ids, bool]:
        """The lexemes with which ``node`` can begin, and whether it can be empty."""
        if self._is_lexeme(node):
            return frozenset((id(node),)), self._read(node).nullable
        if isinstance(node, Reference):
            return self._first[node.name], self._nullable[node.name]
        if isinstance(node, Repeat):
            first, nullable = self._begin(node.item)
            return first, nullable or node.low == 0
        if isinstance(node, Choice):
            begins = [self._begin(item) for item in node.items]
            first = frozenset().union(*(each for each, _ in begins))
            return first, any(nullable for _, nullable in begins)
        return self._begin_row(children(node), frozenset())

    def _begin_row(self, items: Iterable[Node], after: Ids) -> tuple[Ids, bool]:
        """As :meth:`_begin` for items in a row, with ``after`` behind them."""
        found: Ids = frozenset()
        for item in items:
            first, nullable = self._begin(item)
            found |= first
            if not nullable:
                return found, False
        return found | after, True

    def _spread(self, node: Node, after: Ids) -> None:
        """Note that ``after`` can follow ``node``."""
        if self._is_lexeme(node):
            self._followers[id(node)] = self._followers.get(id(node), frozenset()) | after
        elif isinstance(node, Reference):
            self._after[node.name] |= after
        elif isinstance(node, Repeat):
            again = frozenset() if node.high == 1 else self._begin(node.item)[0]
            self._spread(node.item, after | again)
        elif isinstance(node, Choice):
            for item in node.items:
                self._spread(item, after)
        else:
            items = children(node)
            for i, item in enumerate(items):
                self._spread(item, self._begin_row(items[i + 1 :], after)[0])

    # ------------------------------------------------------------------ conflicts

    def _first_bytes(self, lexeme: Lexeme) -> int:
        return self._alphabet.lead_bytes(union(lexeme.chars[i] for i in lexeme.first))

    def _compare(self, mine: Lexeme, theirs: Lexeme, after: int) -> tuple[bool, bool]:
        """Whether both may be complete at the same place, and whether ``mine`` may be complete
        where ``theirs`` goes on with one of the lead bytes ``after``."""
        same = reads_on = False
        pending = list(product(mine.first, theirs.first))
        seen: set[tuple[int, int]] = set()
        while pending:
            p, q = pair = pending.pop()
            if pair in seen or not mine.chars[p] & theirs.chars[q]:
                continue
            seen.add(pair)
            if p in mine.last:
                same = same or q in theirs.last
                more = union(theirs.chars[next_q] for next_q in theirs.follow[q])
                reads_on = reads_on or bool(self._alphabet.lead_bytes(more) & after)
            pending += product(mine.follow[p], theirs.follow[q])
        return same, reads_on


def union(sets: Iterable[int]) -> int:
    found = 0
    for each in sets:
        found |= each
    return found
