"""Stop strings are found wherever the text is cut, and nothing else is held back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sglang.srt.tokenizer.detokenizer import StopChecker

letters = st.text(alphabet="abc", max_size=25)
stop_lists = st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=4)


def run(stops, pieces):
    checker = StopChecker(stops)
    text, matched = "", None
    for piece in pieces:
        emit, matched = checker.push(piece)
        text += emit
        if matched is not None:
            return text, matched
    return text + checker.flush(), None


def expected(stops, text):
    """The stop string that is complete first, the longest of those."""
    for end in range(1, len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            stop = max(done, key=len)
            return text[: end - len(stop)], stop
    return text, None


@given(stops=stop_lists, text=letters, cuts=st.lists(st.integers(0, 25), max_size=6))
def test_finds_the_first_stop_in_any_cutting(stops, text, cuts):
    edges = [0, *sorted(min(c, len(text)) for c in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert run(stops, pieces) == expected(stops, text)


@given(stops=stop_lists, text=letters)
def test_holds_back_exactly_what_could_become_a_stop(stops, text):
    checker = StopChecker(stops)
    emitted = ""
    for index, char in enumerate(text):
        emit, matched = checker.push(char)
        emitted += emit
        if matched is not None:
            return
        seen = text[: index + 1]
        held = max(
            (n for stop in stops for n in range(len(stop)) if seen.endswith(stop[:n])), default=0
        )
        assert emitted == seen[: len(seen) - held]


def test_everything_after_a_match_is_dropped():
    checker = StopChecker(["\n\n"])
    assert checker.push("one\n") == ("one", None)
    assert checker.push("\ntwo\n\n") == ("", "\n\n")
    assert checker.push("three") == ("", "\n\n")
    assert checker.flush() == ""


def test_the_match_is_remembered():
    checker = StopChecker(["b"])
    checker.push("ab")
    assert checker.matched == "b"


def test_without_stops_text_passes_through():
    assert StopChecker([]).push("abc") == ("abc", None)


def test_empty_stop_strings_are_ignored():
    assert StopChecker([""]).push("abc") == ("abc", None)


def test_long_repetitive_stops_cost_no_rescans():
    stop = "a" * 5000 + "b"
    checker = StopChecker([stop])
    emitted = sum(len(checker.push("a" * 100)[0]) for _ in range(300))
    assert emitted == 30_000 - 5000
