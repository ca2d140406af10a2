"""Which schemas a library may be trusted with that silently ignores keywords it does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from sglang.srt.constrained.json_schema import Pointer, subschemas

NOTES = frozenset(
    (
        *("$comment", "$defs", "$schema", "default", "definitions", "deprecated", "description"),
        *("examples", "readOnly", "title", "writeOnly"),
    )
)
"""Keywords that ask nothing of a document."""

Keywords = Mapping[str, frozenset[str]]
"""For each type, the keywords that a library enforces besides ``type``, in any combination."""


def beyond(schema: Any, keywords: Keywords, pointer: Pointer = "") -> Pointer | None:
    """The first place of a schema that asks for more than ``keywords``, or None.

    Every schema in it has to be one of: a reference within the document, a choice (``anyOf``), a
    list of values, a single type.
    """
    if not isinstance(schema, dict):
        return pointer
    asked = schema.keys() - NOTES
    for place, part in _parts(schema, pointer):
        if (found := beyond(part, keywords, place)) is not None:
            return found
    if asked == {"$ref"}:
        return None if str(schema["$ref"]).startswith("#/") else f"{pointer}/$ref"
    if asked in ({"anyOf"}, {"const"}, {"enum"}) or _lists_strings(schema, asked):
        return None
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in keywords:
        return f"{pointer}/type"
    if more := asked - keywords[kind] - {"type"}:
        return f"{pointer}/{min(more)}"
    if kind == "object" and not _has_plain_names(schema):
        return f"{pointer}/properties"
    return None


def _parts(schema: dict[str, Any], pointer: Pointer) -> Iterator[tuple[Pointer, Any]]:
    for name in ("$defs", "definitions", "properties"):
        for key, part in schema.get(name, {}).items():
            yield f"{pointer}/{name}/{key}", part
    for i, part in enumerate(schema.get("anyOf", ())):
        yield f"{pointer}/anyOf/{i}", part
    if "items" in schema:
        yield f"{pointer}/items", schema["items"]


def _lists_strings(schema: dict[str, Any], asked: Set[str]) -> bool:
    """A list of values may have their type beside it."""
    return (
        asked == {"enum", "type"}
        and schema["type"] == "string"
        and all(isinstance(value, str) for value in schema["enum"])
    )


def _has_plain_names(schema: dict[str, Any]) -> bool:
    """Names that need no escapes, the required ones among the declared, nothing else allowed."""
    names = schema.get("properties", {})
    return (
        schema.get("additionalProperties") is False
        and set(schema.get("required", ())) <= names.keys()
        and all(json.dumps(name, ensure_ascii=False) == f'"{name}"' for name in names)
    )


def is_recursive(schema: dict[str, Any]) -> bool:
    """Whether a definition refers to itself, directly or by way of others."""
    inside: dict[str, set[str]] = {"#": set()}
    for pointer, part in subschemas(schema):
        steps = pointer.split("/")
        owner = "#" + "/".join(steps[:3]) if steps[1:2] in (["$defs"], ["definitions"]) else "#"
        if isinstance(reference := part.get("$ref"), str):
            inside.setdefault(owner, set()).add(reference)
    reached: dict[str, set[str]] = {}
    for owner in inside:
        reached[owner], pending = set(), list(inside[owner])
        while pending:
            name = pending.pop()
            if name not in reached[owner]:
                reached[owner].add(name)
                pending += inside.get(name, ())
    return any(owner in names for owner, names in reached.items())
