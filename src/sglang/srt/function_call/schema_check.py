"""Whether a function's parameters are a JSON schema, and where they are not.

Checks the shape of the keywords of JSON Schema (drafts 4 to 2020-12), not whether a grammar can
enforce them. Unknown keywords are annotations and may be there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_SHOWN = 40

_Check = Callable[[Any, str], None]


class SchemaError(ValueError):
    """``where`` is the place, in dots and brackets; the message says what is wrong there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where} {problem}")
        self.where = where


def check_parameters(parameters: Any, where: str) -> None:
    """Check the schema of a function's arguments, which are an object.

    Raises:
        SchemaError: with the place, which begins with ``where``.
    """
    if not isinstance(parameters, dict):
        raise SchemaError(where, f"must be a JSON schema, got {_shown(parameters)}")
    kind = parameters.get("type", "object")
    if kind != "object":
        raise SchemaError(f"{where}.type", f"must be 'object', got {_shown(kind)}")
    check_schema(parameters, where)


def check_schema(schema: Any, where: str) -> None:
    """Check a schema and all that it holds.

    Raises:
        SchemaError: with the place, which begins with ``where``.
    """
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SchemaError(where, f"must be an object, got {_shown(schema)}")
    for keyword, value in schema.items():
        check = _CHECKS.get(keyword)
        if check is not None:
            check(value, f"{where}.{keyword}")


def _schemas_by_name(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise SchemaError(where, f"must be an object of schemas, got {_shown(value)}")
    for name, schema in value.items():
        check_schema(schema, f"{where}.{name[:_SHOWN]}")


def _schema_list(value: Any, where: str) -> None:
    if not isinstance(value, list) or not value:
        raise SchemaError(where, f"must be a list of schemas, got {_shown(value)}")
    for i, schema in enumerate(value):
        check_schema(schema, f"{where}[{i}]")


def _items(value: Any, where: str) -> None:
    if isinstance(value, list):
        _schema_list(value, where)
    else:
        check_schema(value, where)


def _type(value: Any, where: str) -> None:
    kinds = value if isinstance(value, list) else [value]
    if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        raise SchemaError(where, f"must be one of {', '.join(_TYPES)}; got {_shown(value)}")


def _required(value: Any, where: str) -> None:
    # Draft 3 has true or false here, and some tools still write that into properties.
    is_list = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if not is_list and not isinstance(value, bool):
        raise SchemaError(where, f"must be a list of names, got {_shown(value)}")


def _values(value: Any, where: str) -> None:
    if not isinstance(value, list) or not value:
        raise SchemaError(where, f"must be a list of values, got {_shown(value)}")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise SchemaError(where, f"must be a string, got {_shown(value)}")


def _number(value: Any, where: str) -> None:
    if not isinstance(value, (int, float)):
        raise SchemaError(where, f"must be a number, got {_shown(value)}")


def _count(value: Any, where: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        raise SchemaError(where, f"must be a count, got {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    return "null" if value is None else repr(value)[:_SHOWN]


_CHECKS: dict[str, _Check] = {
    "type": _type,
    "required": _required,
    "enum": _values,
    "items": _items,
    **dict.fromkeys(
        ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"),
        _schemas_by_name,
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schema_list),
    **dict.fromkeys(
        (
            *("additionalProperties", "additionalItems", "unevaluatedItems", "contains", "not"),
            *("unevaluatedProperties", "propertyNames", "if", "then", "else"),
        ),
        check_schema,
    ),
    **dict.fromkeys(("pattern", "format", "$ref"), _text),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _number
    ),
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems"),
            *("minProperties", "maxProperties", "minContains", "maxContains"),
        ),
        _count,
    ),
}
