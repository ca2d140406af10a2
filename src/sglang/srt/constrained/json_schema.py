"""Reading a JSON schema: what can be said about it before any library has seen it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from sglang.srt.constrained.endless_schema import endless_reference
from sglang.srt.constrained.grammar import GrammarError
from sglang.srt.constrained.schema_rewrites import enforceable_format, merge_disjoint_values

ITEM_SEPARATOR, KEY_SEPARATOR = ", ", ": "
"""How JSON is written where nothing else is asked for: on one line, with the spaces that models
have seen most. What is always the same need not be sampled."""

MAX_DEPTH = 120
"""Levels of objects and arrays inside of each other; libraries recurse over them."""

Pointer = str
"""Where in the schema: RFC 6901, as in ``/properties/name``."""

_ONE = (
    *("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not"),
    *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
)
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_COUNTS = ("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties")
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_BOUNDS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
"""Of the integers that every library can read."""


def read_schema(text: str) -> dict[str, Any]:
    """The schema in ``text``, checked for what can be told without a library.

    Raises:
        GrammarError: not JSON, no schema, or a keyword with a value of the wrong kind; with the
            place.
    """
    try:
        schema = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise GrammarError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise GrammarError(f"not JSON: {error}") from None
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise GrammarError(f"a schema is an object, got {text[:60]}")
    _check_values(schema)
    for pointer, part in subschemas(schema):
        _check_keywords(pointer, part)
    if (reference := endless_reference(schema, subschemas(schema))) is not None:
        raise GrammarError(f"{reference}: refers to itself without an end; nothing can fulfil it")
    _close_objects(schema)
    for pointer, part in list(subschemas(schema)):
        merge_disjoint_values(part)
        enforceable_format(pointer, part)
    return schema


def subschemas(schema: Any, pointer: Pointer = "") -> Iterator[tuple[Pointer, dict[str, Any]]]:
    """All schemas in a schema, itself first, with their places."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for name in _ONE:
        yield from subschemas(schema.get(name), f"{pointer}/{name}")
    for name in _LISTED:
        for i, part in enumerate(_of_type(list, schema.get(name))):
            yield from subschemas(part, f"{pointer}/{name}/{i}")
    for name in _NAMED:
        parts = schema.get(name)
        for key, part in parts.items() if isinstance(parts, dict) else ():
            yield from subschemas(part, f"{pointer}/{name}/{_escape(key)}")


def places(schema: dict[str, Any], keyword: str) -> list[Pointer]:
    """Where a keyword is used."""
    return [f"{pointer}/{keyword}" for pointer, part in subschemas(schema) if keyword in part]


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _check_values(schema: dict[str, Any]) -> None:
    """What holds for any JSON that a library is to read."""
    level: list[tuple[Pointer, Any]] = [("", schema)]
    for _ in range(MAX_DEPTH):
        for pointer, value in level:
            if type(value) is int and not _SMALLEST <= value <= _LARGEST:
                raise GrammarError(f"{pointer}: integers have to fit into 64 bits")
        level = [child for pointer, value in level for child in _inside(pointer, value)]
        if not level:
            return
    raise GrammarError(f"nested deeper than {MAX_DEPTH} levels at {level[0][0][:200]}")


def _inside(pointer: Pointer, value: Any) -> Iterator[tuple[Pointer, Any]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield f"{pointer}/{_escape(key)}", child
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield f"{pointer}/{i}", child


def _check_keywords(pointer: Pointer, schema: dict[str, Any]) -> None:
    """Wrong kinds of values, and values that mean the same as others."""
    for name in _COUNTS:
        if name in schema:
            schema[name] = _count(f"{pointer}/{name}", schema[name])
    for name in _BOUNDS:
        _check_bound(f"{pointer}/{name}", name, schema.get(name, 1))
    kinds = _as_list(schema.get("type", "object"))
    for kind in kinds or [kinds]:
        if kind not in _TYPES:
            shown = json.dumps(kind)[:60]
            raise GrammarError(f"{pointer}/type: {shown} is none of {', '.join(_TYPES)}")
    for name in ("pattern", "$ref"):
        if not isinstance(schema.get(name, ""), str):
            raise GrammarError(f"{pointer}/{name}: must be a string")
    if schema.get("enum", [None]) == [] or not isinstance(schema.get("enum", []), list):
        raise GrammarError(f"{pointer}/enum: must be a list of at least one value")
    names = schema.get("required", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GrammarError(f"{pointer}/required: must be a list of names")
    _check_parts(pointer, schema)
    if schema.get("uniqueItems") is False:
        del schema["uniqueItems"]
    schema.pop("x-guidance", None)  # would tell llguidance to be less strict


def _check_parts(pointer: Pointer, schema: dict[str, Any]) -> None:
    """That there are schemas where schemas belong."""
    for name in _NAMED:
        if not isinstance(schema.get(name, {}), dict):
            raise GrammarError(f"{pointer}/{name}: must be an object")
        for key, part in schema.get(name, {}).items():
            _check_schema(f"{pointer}/{name}/{_escape(key)}", part)
    for name in _LISTED:
        parts = schema.get(name)
        if name not in schema or (name == "items" and not isinstance(parts, list)):
            continue
        if not isinstance(parts, list) or not parts:
            raise GrammarError(f"{pointer}/{name}: must be a list of at least one schema")
        for i, part in enumerate(parts):
            _check_schema(f"{pointer}/{name}/{i}", part)
    for name in _ONE:
        if not (name == "items" and isinstance(schema.get(name), list)):
            _check_schema(f"{pointer}/{name}", schema.get(name, True))


def _check_schema(pointer: Pointer, value: Any) -> None:
    if not isinstance(value, (dict, bool)):
        shown = json.dumps(value)[:60]
        raise GrammarError(f"{pointer}: a schema is an object, true or false, got {shown}")


def _check_bound(pointer: Pointer, name: str, value: Any) -> None:
    if isinstance(value, bool) and name.startswith("exclusive"):
        return  # draft 4
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise GrammarError(f"{pointer}: must be a number, got {json.dumps(value)[:60]}")
    if name == "multipleOf" and value <= 0:
        raise GrammarError(f"{pointer}: must be more than 0, got {value}")


def _close_objects(schema: dict[str, Any]) -> None:
    """Leave out what a schema merely does not forbid: properties that it does not name.

    Models are better off without that choice. Where parts of a schema apply together, they may
    have to allow each other's properties, so that all stays as it is.
    """
    parts = [part for _, part in subschemas(schema)]
    others, own = {"$ref", "anyOf", "oneOf"}, {"properties", "required"}
    if any("allOf" in part or (others & part.keys() and own & part.keys()) for part in parts):
        return
    more = {"additionalProperties", "patternProperties", "unevaluatedProperties"}
    more |= {"minProperties", "propertyNames"}
    for part in parts:
        names = part.get("properties")
        if names and not more & part.keys() and set(part.get("required", ())) <= names.keys():
            part["additionalProperties"] = False


def _count(pointer: Pointer, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or value < 0:
        shown = json.dumps(value)[:60]
        raise GrammarError(f"{pointer}: must be a whole number of at least 0, got {shown}")
    return int(value)


def _of_type(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else kind()


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
