"""The check of a function's parameters names the place that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from sglang.srt.function_call.schema_check import SchemaError, check_parameters

GOOD: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"n": {"type": ["integer", "null"], "minimum": 0, "default": None}},
        "type": "object",
        "properties": {
            "a": {
                "type": "string",
                "enum": ["x", "y"],
                "minLength": 1,
                "pattern": "^a",
                "title": "A",
            },
            "b": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "array", "items": {"type": "number"}}]},
            "c": True,
            "type": {"type": "string"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "x-anything": [1, 2],
    },
]
BAD: list[tuple[Any, str]] = [
    ([], "p must be"),
    ("{}", "p must be"),
    ({"type": "string"}, "p.type"),
    ({"type": None}, "p.type"),
    ({"properties": []}, "p.properties must be an object"),
    ({"properties": {"a": "string"}}, "p.properties.a must be an object"),
    ({"properties": {"a": {"type": "strnig"}}}, "p.properties.a.type must be one of"),
    ({"properties": {"a": {"type": [1]}}}, "p.properties.a.type"),
    ({"properties": {"a": {"enum": "x"}}}, "p.properties.a.enum"),
    ({"properties": {"a": {"enum": []}}}, "p.properties.a.enum"),
    ({"properties": {"a": {"items": {"type": "x"}}}}, "p.properties.a.items.type"),
    ({"properties": {"a": {"items": [1]}}}, r"p.properties.a.items[0]"),
    ({"anyOf": [{}, {"type": 5}]}, "p.anyOf[1].type"),
    ({"allOf": {}}, "p.allOf must be a list"),
    ({"oneOf": []}, "p.oneOf must be a list"),
    ({"required": "a"}, "p.required"),
    ({"required": [1]}, "p.required"),
    ({"$defs": {"a": 5}}, "p.$defs.a"),
    ({"additionalProperties": "no"}, "p.additionalProperties"),
    ({"properties": {"a": {"minLength": -1}}}, "p.properties.a.minLength"),
    ({"properties": {"a": {"maximum": "5"}}}, "p.properties.a.maximum"),
    ({"properties": {"a": {"pattern": 5}}}, "p.properties.a.pattern"),
    ({"properties": {"a": {"$ref": {}}}}, "p.properties.a.$ref"),
]


@pytest.mark.parametrize("schema", GOOD)
def test_schemas_are_accepted(schema: dict[str, Any]) -> None:
    check_parameters(schema, "p")


@pytest.mark.parametrize(("schema", "words"), BAD)
def test_the_place_is_named(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_parameters(schema, "p")
    assert words in str(caught.value)
    assert str(caught.value).startswith(caught.value.where)
