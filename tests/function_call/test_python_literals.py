"""Python's literals as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.function_call.python_literals import json_of_literal

LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=LITERALS)
def test_a_literal_keeps_its_value(value: object) -> None:
    literal = json_of_literal(repr(value))
    assert literal is not None and json.loads(literal) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "f()",
        "1 + 1",
        "__import__('os')",
        "[x for x in y]",
        "f'{x}'",
        "{1: 2}",
        "{1, 2}",
        "b'x'",
        "1j",
        "...",
        "-'a'",
        "-True",
        "1e999",
        "'\\ud800'",
        "'\0'",
        "(" * 5000,
        "-" * 20000 + "1",
        "1" * 5000,
        "'" + "a" * 70000 + "'",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert json_of_literal(text) is None
