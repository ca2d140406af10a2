"""EBNF: what a grammar lets through is its language, also where lexemes would be ambiguous."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

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
from sglang.srt.constrained.ebnf_checks import parse_ebnf
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec, GrammarState
from tests.constrained.walking import EOS, NAMES, backend, start, tokenizer, walk

EXAMPLES = 15


def ends(rules: Rules, node: Node, text: str, begin: int, depth: int = 0) -> set[int]:
    """Where ``node`` can end if it begins at ``begin``: recognition by trying everything."""
    if depth > 40:
        return set()
    if isinstance(node, Literal):
        return {begin + len(node.text)} if text.startswith(node.text, begin) else set()
    if isinstance(node, CharClass):
        char = text[begin : begin + 1]
        inside = any(low <= char <= high for low, high in node.ranges)
        return {begin + 1} if char and inside != node.negated else set()
    if isinstance(node, Reference):
        return ends(rules, rules[node.name].body, text, begin, depth + 1)
    if isinstance(node, Choice):
        return set().union(*(ends(rules, item, text, begin, depth + 1) for item in node.items))
    if isinstance(node, Sequence):
        places = {begin}
        for item in node.items:
            places = set().union(*(ends(rules, item, text, p, depth + 1) for p in places))
        return places
    assert isinstance(node, Repeat)
    found = {begin} if node.low == 0 else set()
    places, seen, count = {begin}, {begin}, 0
    while places and (node.high is None or count < node.high):
        places = set().union(*(ends(rules, node.item, text, p, depth + 1) for p in places))
        count += 1
        found |= places if count >= node.low else set()
        if count >= node.low:
            places -= seen
            seen |= places
    return found


def accepts(grammar: str, text: str) -> bool:
    rules = parse_ebnf(grammar)
    return len(text) in ends(rules, rules["root"].body, text, 0)


def takes(state: GrammarState, text: str) -> bool:
    """Whether a grammar takes ``text``, character by character where it has such tokens."""
    for char in text:
        for token in tokenizer().encode(char, add_special_tokens=False):
            if state.is_finished or not state.allows(token):
                return False
            assert state.accept(token)
    return state.is_finished or state.allows(EOS[0])


@st.composite
def bodies(draw: st.DrawFn, names: list[str]) -> str:
    atoms = st.sampled_from(['"a"', '"ab"', '"b"', "[ab]", "[^a]", '"("', '")"', '"éa"', *names])

    def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(" ".join),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' | '.join(parts)})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])).map(
                lambda pair: f"({pair[0]}){pair[1]}"
            ),
        )

    return draw(st.recursive(atoms, combine, max_leaves=5))


@st.composite
def grammars(draw: st.DrawFn) -> str:
    names = ["root", "x", "y"]
    text = "\n".join(f"{name} ::= {draw(bodies(names))}" for name in names)
    try:
        parse_ebnf(text)
    except GrammarError:
        assume(False)
    return text


@settings(max_examples=EXAMPLES * 4, deadline=None)
@given(grammar=grammars(), seed=st.integers(0, 999))
def test_the_language_is_that_of_the_rules(grammar: str, seed: int) -> None:
    """By default: exactly the texts of the grammar, no more and no fewer."""
    try:
        prepared = backend().prepare(GrammarSpec("ebnf", grammar))
    except GrammarError as error:
        assert "too complex" in str(error) or "cannot go on" in str(error)
        return
    compiled = backend().load(prepared)
    choose = random.Random(seed)
    for _ in range(12):
        text = "".join(choose.choices("ab()éx", k=choose.randrange(7)))
        assert takes(compiled.start(), text) == accepts(grammar, text), text


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(grammar=grammars(), seed=st.integers(0, 9))
def test_every_finished_output_is_in_the_language(name: str, grammar: str, seed: int) -> None:
    try:
        state = start("ebnf", grammar, name)
    except GrammarError:
        return
    output = walk(state, seed, steps=12)
    assert output is None or len(output) > 30 or accepts(grammar, output)


CITIES = """
root ::= city | description
city ::= "London" | "Paris" | "Berlin" | "Rome"
description ::= city " is " status
status ::= "the capital of " country
country ::= "England" | "France" | "Germany" | "Italy"
"""
ARITHMETIC = """
root  ::= expr  # sums
expr  ::= term (("+" | "-") term)*
term  ::= [0-9]{1,2} | "(" expr ")"
"""
GREEDY = 'root ::= item+\nitem ::= [a-z]+ "s" | "(" root ")"'


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("grammar", [CITIES, ARITHMETIC, GREEDY, 'root ::= "Hello" | "Hi"'])
def test_common_grammars_come_to_their_end(name: str, grammar: str) -> None:
    outputs = {walk(start("ebnf", grammar, name), seed, steps=40) for seed in range(8)} - {None}
    assert outputs
    assert all(accepts(grammar, output) for output in outputs)


BAD = {
    'root ::= root "a" | "b"': "line 1, column 1: the rule 'root' begins with itself",
    'root ::= x\nx ::= "" y\ny ::= x? "a"': "line 2, column 1: the rule 'x' begins with itself",
    'root ::= "a" root': "line 1, column 1: the rule 'root' goes on for ever",
    'root ::= "a"\n  | b': "line 2, column 5: there is no rule 'b'",
    'start ::= "a"': "there is no rule 'root'",
    'root ::= "a\n': 'line 1, column 10: the closing " is missing',
    "root ::= [a": "line 1, column 10: the closing ] is missing",
    "root ::= [z-a]": "the range 'z'-'a' is empty",
    "root ::= []": "line 1, column 10: this character class is empty",
    'root ::= ("a"': "line 1, column 10: this parenthesis is not closed",
    'root ::= "a")': "line 1, column 13: this parenthesis closes nothing",
    'root ::= "a"{3,2}': "at least 3 and at most 2",
    'root ::= "a"{1000000}': "at most 10000 repetitions",
    'root ::= "a"{x}': "expected a repetition",
    'root ::= "a"**': "needs parentheses",
    r'root ::= "\q"': r"the escape \\q is unknown",
    r'root ::= "\u12"': "needs 4 hexadecimal digits",
    r'root ::= "\ud800"': "is no character",
    'root ::= "a"\nroot ::= "b"': "line 2, column 1: the rule 'root' is defined twice",
    'root = "a"': "line 1, column 1: expected a rule",
    "root ::= 'a'": "line 1, column 10: did not expect",
    "root ::= " + "(" * 60_000 + '"a"' + ")" * 60_000: "groups are nested deeper than 100",
    "\n".join(
        ["root ::= a0", *(f"a{i} ::= a{i + 1} a{i + 1}" for i in range(40)), 'a40 ::= "x"']
    ): ("too big"),
}


@pytest.mark.parametrize("grammar", BAD, ids=lambda grammar: grammar[:25])
def test_what_is_no_grammar_is_refused_with_the_place(grammar: str) -> None:
    with pytest.raises(GrammarError, match=BAD[grammar]) as refusal:
        backend().prepare(GrammarSpec("ebnf", grammar))
    assert len(str(refusal.value)) < 500


def test_comments_line_breaks_and_escapes() -> None:
    grammar = 'root ::= # a comment\n  "\\x41\\u00e9\\n\\"" |\n  [\\]\\-x]\n\n# the end'
    assert [accepts(grammar, text) for text in ('Aé\n"', "]", "-", "y")] == [True] * 3 + [False]
    assert [takes(start("ebnf", grammar), text) for text in ('Aé\n"', "y")] == [True, False]
