"""``docs/api.md``, written from the routes and their types.

``python -m sglang.srt.entrypoints.openapi.documentation docs/api.md`` renews it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sglang.srt.entrypoints.openapi.document import build_document
from sglang.srt.entrypoints.openapi.schemas import IGNORED_TEXT, REF
from sglang.srt.entrypoints.openapi.spec import Schema

_INTRODUCTION = """\
# HTTP reference

*Written by `python -m sglang.srt.entrypoints.openapi.documentation`: change the routes and their
types in `src/sglang/srt/entrypoints/`, not this page.*

Every route, what it takes and what it answers. A server tells the same as an OpenAPI document at
`/openapi.json`. The key goes into the header `Authorization: Bearer KEY` or `x-api-key: KEY`.
In a body, `null` means that a field is not given; a field that is not listed is refused.
"""
_GROUPS = ("OpenAI", "Responses", "Files and batches", "Anthropic", "Native", "Server")
_JSON = "application/json"


def render() -> str:
    """The whole page in Markdown."""
    document = build_document()
    parts = [_INTRODUCTION]
    for group in _GROUPS:
        parts.append(f"## {group}\n")
        parts += [
            _operation(path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if operation["tags"] == [group]
        ]
    parts.append("## Types\n")
    schemas = document["components"]["schemas"]
    parts += [_component(name, schema) for name, schema in schemas.items()]
    return "\n".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    lines = [f"### `{method.upper()} {path}`", "", operation["summary"]]
    if "description" in operation:
        lines += ["", operation["description"]]
    lines += ["", *_input(operation), *_output(operation["responses"])]
    return "\n".join(lines) + "\n"


def _input(operation: dict[str, Any]) -> Iterator[str]:
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            about = parameter.get("description", "")
            yield f"* `?{parameter['name']}=` ({_type(parameter['schema'])}): {about}"
    if "requestBody" not in operation:
        return
    [(media_type, content)] = operation["requestBody"]["content"].items()
    schema = content["schema"]
    if media_type == _JSON:
        optional = "" if operation["requestBody"]["required"] else ", which may be left out"
        yield f"* body: {_type(schema)}{optional}"
        return
    yield f"* body: `{media_type}`"
    for name, part in schema["properties"].items():
        needed = ", required" if name in schema["required"] else ""
        yield f"    * `{name}`: {_type(part)}{needed}"


def _output(responses: dict[str, Any]) -> Iterator[str]:
    kinds = [
        _type(content["schema"]) if media_type == _JSON else f"`{media_type}`"
        for media_type, content in responses["200"].get("content", {}).items()
    ]
    yield f"* answer: {' or '.join(kinds) or 'nothing'}"
    errors = [status for status in responses if status != "200"]
    yield f"* errors: {', '.join(errors)}"


def _component(name: str, schema: Schema) -> str:
    lines = [f"### {name}", ""]
    if "description" in schema:
        lines += [str(schema["description"]).replace("``", "`"), ""]
    required = schema.get("required", [])
    properties = schema.get("properties", {})
    ignored = [f for f, s in properties.items() if s.get("description") == IGNORED_TEXT]
    shown = {f: s for f, s in properties.items() if f not in ignored}
    if shown:
        lines += ["| field | type | meaning |", "|---|---|---|"]
        lines += [_field(field, part, field in required) for field, part in shown.items()]
        lines.append("")
    if ignored:
        names = ", ".join(f"`{field}`" for field in ignored)
        lines += [f"Accepted, without effect: {names}.", ""]
    return "\n".join(lines)


def _field(name: str, schema: Schema, is_required: bool) -> str:
    meaning = [str(schema.get("description", "")).replace("\n", " ")]
    if is_required:
        meaning.append("Required.")
    elif "default" in schema:
        meaning.append(f"Default: `{json.dumps(schema['default'])}`.")
    cells = (f"`{name}`", _type(schema), " ".join(meaning).strip())
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_type(part) for part in schema["anyOf"] if part != {"type": "null"}]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(part for part in kind if part != "null")
    if kind == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    return str(kind) + _range(schema)


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above:g} to {high:g}"
    if low is not None and high is not None:
        return f" {_number(low)} to {_number(high)}"
    return f" of at least {_number(low)}" if low is not None else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
