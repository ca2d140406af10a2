"""Whatever the schema, what comes out of it is valid; or the schema is refused."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from tests.constrained.walking import NAMES, backend, start, walk

EXAMPLES = 25

BOUNDS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(sorted)


def ranged(kind: str, low: str, high: str) -> st.SearchStrategy[dict[str, Any]]:
    return BOUNDS.map(lambda pair: {"type": kind, low: pair[0], high: pair[1]})


SCALARS = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda t: {"type": t}),
    ranged("string", "minLength", "maxLength"),
    ranged("integer", "minimum", "maximum"),
    ranged("number", "exclusiveMinimum", "maximum").filter(
        lambda s: s["exclusiveMinimum"] < s["maximum"]
    ),
    st.sampled_from(
        [
            {"type": "string", "pattern": "^[a-z]+$"},
            {"type": "string", "pattern": r"\d"},
            {"type": "string", "format": "date"},
            {"type": "string", "format": "no such format"},
            {"enum": ["a", 1, None, {"x": [True]}]},
            {"const": 'a "quoted" text\n'},
            {"type": ["string", "null"]},
            {"type": "integer", "multipleOf": 7},
            True,
        ]
    ),
)
NAMES_OF_PROPERTIES = st.sampled_from(["a", "b", "c d", 'e"f', "ü"])


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES_OF_PROPERTIES, inner, max_size=3))
    names = sorted(properties)
    schema = {"type": "object", "properties": properties}
    if names:
        schema["required"] = draw(st.lists(st.sampled_from(names), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.one_of(st.booleans(), inner))
    return schema


def combine(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        objects(inner),
        st.builds(
            lambda i, b: {"type": "array", "items": i, "minItems": b[0], "maxItems": b[1]},
            inner,
            BOUNDS,
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        st.lists(inner, min_size=2, max_size=2).map(lambda parts: {"prefixItems": parts}),
    )


SCHEMAS = st.recursive(SCALARS, combine, max_leaves=5)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(schema=SCHEMAS, seed=st.integers(0, 9))
def test_every_finished_output_is_valid(name: str, schema: Any, seed: int) -> None:
    try:
        state = start("json_schema", json.dumps(schema), name)
    except GrammarError:
        return
    output = walk(state, seed)
    if output is not None:
        jsonschema.validate(json.loads(output), schema)


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "left"],
        }
    },
    "$ref": "#/$defs/node",
}
SHAPES = {
    "oneOf": [
        {"type": "object", "properties": {"kind": {"const": "circle"}}, "required": ["kind"]},
        {"type": "object", "properties": {"kind": {"const": "square"}}, "required": ["kind"]},
    ]
}
BOTH = {
    "allOf": [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
    ]
}
CAPITAL = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": r"^\w+$"},
        "population": {"type": "integer"},
    },
    "required": ["name", "population"],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schema", [TREE, SHAPES, BOTH, CAPITAL], ids=str)
def test_composed_schemas_are_enforced(name: str, schema: dict[str, Any]) -> None:
    outputs = [walk(start("json_schema", json.dumps(schema), name), seed) for seed in range(6)]
    finished = [json.loads(output) for output in outputs if output is not None]
    assert finished
    for value in finished:
        jsonschema.validate(value, schema)


PAIRS = {
    "type": "array",
    "minItems": 2,
    "maxItems": 3,
    "items": {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}, "b": {"type": "null"}},
        "required": ["a", "b"],
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_json_is_written_as_python_does(name: str) -> None:
    outputs = [walk(start("json_schema", json.dumps(PAIRS), name), seed) for seed in range(4)]
    assert set(outputs) - {None}
    assert all(output == json.dumps(json.loads(output)) for output in outputs if output)


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_decides_about_white_space(name: str) -> None:
    state = [start("json_schema", json.dumps(PAIRS), name, r"[ \n]{0,3}") for _ in range(8)]
    outputs = [output for i in range(8) if (output := walk(state[i], i)) is not None]
    assert any("\n" in output for output in outputs)
    assert all(jsonschema.validate(json.loads(output), PAIRS) is None for output in outputs)


def test_an_object_has_the_properties_that_its_schema_names() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for seed in range(5):
        output = walk(start("json_schema", json.dumps(schema)), seed)
        assert output is None or json.loads(output).keys() <= {"a"}


def test_an_object_may_have_others_where_its_schema_says_so() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1}
    output = walk(start("json_schema", json.dumps(schema)), 1)
    assert output is not None and set(json.loads(output).values()) == {None}


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "not JSON"),
    "no schema": ("[1]", "a schema is an object"),
    "false": ("false", "a schema is an object"),
    "not": ({"properties": {"a": {"not": {}}}}, "at /properties/a/not"),
    "uniqueItems": ({"type": "array", "uniqueItems": True}, "at /uniqueItems"),
    "if": ({"if": {}, "then": {}}, r"at /if, /then"),
    "type": ({"items": {"type": "text"}}, '/items/type: "text" is none of'),
    "count": ({"items": {"minLength": -1}}, "/items/minLength: must be a whole number"),
    "required": ({"required": "a"}, "/required: must be a list of names"),
    "enum": ({"enum": []}, "/enum: must be a list"),
    "reference": ({"$ref": "#/nowhere"}, "does not exist"),
    "remote reference": ({"$ref": "http://127.0.0.1/x"}, "does not fetch"),
    "pattern": ({"type": "string", "pattern": "("}, "unclosed group"),
    "contradiction": ({"type": "string", "minLength": 5, "maxLength": 2}, "Unsatisfiable"),
    "open choice": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    "big integer": ({"enum": [1, 10**20]}, "/enum/1: integers have to fit into 64 bits"),
    "infinity": ('{"maximum": Infinity}', "Infinity is no number"),
    "bound": ({"items": {"minimum": "3"}}, "/items/minimum: must be a number"),
    "multiple": ({"multipleOf": 0}, "/multipleOf: must be more than 0"),
    "no choice": ({"properties": {"a": {"anyOf": []}}}, "/properties/a/anyOf: must be a list"),
    "no part": ({"items": {"additionalProperties": 3}}, "/items/additionalProperties: a schema is"),
    "format": ({"items": {"format": "regex"}}, "/items/format: 'regex' cannot be enforced"),
    "inner contradiction": (
        {"properties": {"a": {"type": "integer", "enum": ["x"]}}, "required": ["a"]}
        | {"type": "object"},
        "incompatible types|required property 'a' is unsatisfiable",
    ),
    "less strict": (
        {"x-guidance": {"lenient": True}, "type": "array", "uniqueItems": True},
        "at /uniqueItems",
    ),
    "endless": (
        {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}}}
        | {"$ref": "#/$defs/a"},
        r"/\$defs/a: refers to itself without an end",
    ),
    "depth": ('{"items":' * 60_000 + "{}" + "}" * 60_000, "nested deeper than 120"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_enforced_is_refused_with_the_place(case: str) -> None:
    schema, words = BAD[case]
    text = schema if isinstance(schema, str) else json.dumps(schema)
    with pytest.raises(GrammarError, match=words):
        backend().prepare(GrammarSpec("json_schema", text))
