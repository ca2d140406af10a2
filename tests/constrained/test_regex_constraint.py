"""What regular expressions let through is what ``re.fullmatch`` takes, with every backend."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.constrained.regex import for_rust
from tests.constrained.walking import NAMES, backend, start, walk

EXAMPLES = 25

ATOMS = st.sampled_from(
    [
        *(
            "a",
            "b",
            " ",
            "é",
            "日",
            ".",
            r"\d",
            r"\w",
            r"\s",
            r"\.",
            r"\\",
            r"\"",
            "[a-c]",
            "[^a-c]",
        ),
        *(
            r"[\w-]",
            r"[^\d]",
            "[]x]",
            "[[a]",
            "[a&&b]",
            "{",
            r"\n",
            "x{2}",
            "y{,2}",
            "z{1,3}",
            r"\<",
        ),
    ]
)


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    )


PATTERNS = st.recursive(ATOMS, combine, max_leaves=6)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of re, about "[[" and "&&"
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(pattern=PATTERNS, seed=st.integers(0, 9))
def test_every_finished_output_matches(name: str, pattern: str, seed: int) -> None:
    output = walk(start("regex", pattern, name), seed)
    assert output is None or re.fullmatch(pattern, output)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "pattern",
    [
        "(France|England)",
        "^(Paris|London)$",
        r"((25[0-5]|2[0-4]\d|[01]?\d\d?).){3}(25[0-5]|2[0-4]\d|[01]?\d\d?)",
        r"\d{4}-\d{2}-\d{2}",
        r"\A[a-z]{1,4}@[a-z]{1,4}\.(com|org)\Z",
        r"(?i)yes|no",
        r"[^\W\d]{3}",
        r'\{\n    "name": "[\w\d\s]{1,16}",\n    "alive": (true|false)\n\}',
    ],
)
def test_common_patterns_come_to_their_end(name: str, pattern: str) -> None:
    outputs = {walk(start("regex", pattern, name), seed) for seed in range(5)}
    assert None not in outputs
    assert all(re.fullmatch(pattern, output) for output in outputs)


BAD = {
    "(": "unclosed",
    "a)": "unopened",
    "[a": "not closed",
    "*a": "repetition",
    "(?=a)b": "look-around",
    r"(a)\1": "backreferences",
    r"\bword\b": "lookarounds not supported",
    "(" * 60_000 + ")" * 60_000: "deeper than 100",
    "(a{1000}){1000}": "too complex",
    "x{5,2}": "invalid repetition",
}


@pytest.mark.parametrize("pattern", BAD, ids=lambda pattern: pattern[:20])
def test_what_cannot_be_enforced_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(GrammarError, match=BAD[pattern]) as refusal:
        backend().prepare(GrammarSpec("regex", pattern))
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("pattern", "rust"),
    [
        (r"^a\$", r"a\$"),
        (r"^a\\$", r"a\\"),
        (r"\Aa\Z", "a"),
        ("^a$|^b$", "a|b"),
        ("^(a|b)$", "(a|b)"),
        ("a^b$", "a^b"),
        ("(^a)", "(^a)"),
        ("[$]$", "[$]"),
        ("$", ""),
    ],
)
def test_anchors_are_left_out_where_they_say_nothing(pattern: str, rust: str) -> None:
    assert for_rust(pattern) == rust


def test_braces_of_an_escape_stay() -> None:
    assert for_rust(r"\p{Lu}\x{41}{2}{") == r"\p{Lu}\x{41}{2}\{"
