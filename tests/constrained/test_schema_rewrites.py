"""Schemas that are said in another way before a library sees them."""

from __future__ import annotations

import datetime
import json
from typing import Any

import jsonschema
import pytest

from sglang.srt.constrained.grammar import GrammarState
from sglang.srt.constrained.json_schema import read_schema
from tests.constrained.walking import NAMES, start, tokenizer, walk


def takes(state: GrammarState, text: str) -> bool:
    """Whether ``text`` is a whole output."""
    tokens = tokenizer().encode(text, add_special_tokens=False)
    return all(state.accept(token) for token in tokens) and (state.is_finished or state.allows(2))


def of_format(name: str, value: str) -> bool:
    schema = {"type": "string", "format": name}
    return takes(start("json_schema", json.dumps(schema)), json.dumps(value))


@pytest.mark.parametrize("year", [1, 4, 100, 400, 1900, 2000, 2023, 2024, 2100, 9996])
def test_leap_days_are_those_of_the_calendar(year: int) -> None:
    day = f"{year:04}-02-29"
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        assert not of_format("date", day)
    else:
        assert of_format("date", day)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-12-31", "2024-11-31"),
        ("date", "0001-01-01", "0000-01-01"),
        ("time", "23:59:59.5+01:00", "23:59:60Z"),
        ("date-time", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z"),
        ("json-pointer", "/a~1b/0", "/a~2b"),
        ("json-pointer", "", "a"),
        ("relative-json-pointer", "1/a", "01/a"),
        ("idn-email", "a@b.org", "a.b.org"),
        ("uri-reference", "http://a.org/b", "http:// "),
    ],
)
def test_formats_are_enforced(name: str, good: str, bad: str) -> None:
    assert of_format(name, good)
    assert not of_format(name, bad)


def test_a_format_and_a_pattern_hold_both() -> None:
    schema = {"type": "string", "format": "date", "pattern": "^2024"}
    state = [start("json_schema", json.dumps(schema)) for _ in range(3)]
    assert takes(state[0], '"2024-02-29"')
    assert not takes(state[1], '"2023-02-28"')
    assert not takes(state[2], '"2024"')


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "choices",
    [
        [{"const": 1, "title": "one"}, {"const": 2}],
        [{"enum": ["a", None]}, {"const": {"b": [1]}}],
    ],
    ids=str,
)
def test_one_of_several_values(name: str, choices: list[Any]) -> None:
    schema = {"type": "object", "properties": {"x": {"oneOf": choices}}, "required": ["x"]}
    outputs = [walk(start("json_schema", json.dumps(schema), name), seed) for seed in range(4)]
    assert set(outputs) - {None}
    for output in filter(None, outputs):
        jsonschema.validate(json.loads(output), schema)


@pytest.mark.parametrize("second", [1.0, 1])
def test_equal_values_exclude_nothing(second: float) -> None:
    schema = {"oneOf": [{"const": 1}, {"enum": [second, 2]}]}
    assert "oneOf" in read_schema(json.dumps(schema))


def test_recursion_with_an_end_is_no_problem() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/end"}}, "required": ["next"]}
    end = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node, "end": end}}
    assert takes(start("json_schema", json.dumps(schema)), '{"next": {"next": null}}')
