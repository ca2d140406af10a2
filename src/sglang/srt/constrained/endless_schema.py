"""JSON schemas that only endless documents could fulfil."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote


def endless_reference(root: dict[str, Any], parts: Iterable[tuple[str, Any]]) -> str | None:
    """The place of a definition that needs itself to be fulfilled, directly or by way of others.

    ``parts`` are all schemas of ``root``. References to anything but a place in the document are
    taken for good.
    """
    targets: dict[str, Any] = {}
    for _, part in parts:
        reference = part.get("$ref")
        if isinstance(reference, str) and (target := _resolve(root, reference)) is not None:
            targets[reference] = target
    # Those known to have an end, until no more are found.
    open_ones = dict(targets)
    while ending := [ref for ref, part in open_ones.items() if _ends(part, open_ones)]:
        for reference in ending:
            del open_ones[reference]
    return next((f"/{reference[2:]}" for reference in open_ones), None)


def _ends(schema: Any, open_ones: dict[str, Any]) -> bool:
    """Whether a document can fulfil ``schema`` without one of ``open_ones``."""
    if not isinstance(schema, dict) or "enum" in schema or "const" in schema:
        return True
    if schema.get("$ref") in open_ones:
        return False
    needed = [*_needed(schema), *schema.get("allOf", ())]
    if not all(_ends(part, open_ones) for part in needed):
        return False
    choices = [schema[name] for name in ("anyOf", "oneOf") if name in schema]
    return all(any(_ends(part, open_ones) for part in parts) for parts in choices)


def _needed(schema: dict[str, Any]) -> list[Any]:
    """Schemas that some part of every document has to fulfil."""
    if schema.get("type") == "object":
        names = schema.get("properties", {})
        return [names[name] for name in schema.get("required", ()) if name in names]
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        first, others = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(others, list):
            first, others = others, schema.get("additionalItems", True)
        return [*first[:least], *([others] if least > len(first) else [])]
    return []


def _resolve(root: dict[str, Any], reference: str) -> Any:
    """What a reference such as ``#/$defs/a`` refers to; None if that is not in ``root``."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    found: Any = root
    for step in reference.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            return None
    return found
