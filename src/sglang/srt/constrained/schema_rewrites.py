"""Parts of JSON schemas that libraries do not know, said in a way that they know.

What is written here may be narrower than what was asked for, never wider.
"""

from __future__ import annotations

import json
from typing import Any

from sglang.srt.constrained.grammar import GrammarError

KNOWN_FORMATS = frozenset({"duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"})
"""Formats that are left to the library."""

NARROWER = {
    "idn-email": "email",
    "idn-hostname": "hostname",
    "iri": "uri",
    "iri-reference": "uri",
    "uri-reference": "uri",
    "uri-template": "uri",
}
"""Formats of which others are a part."""

_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    rf"|{_LEAP}-02-29)"
)
_HOUR_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR_MINUTE}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR_MINUTE})"
_POINTER = "(?:/(?:[^/~]|~[01])*)*"
PATTERNS = {
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "time": _TIME,
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}
"""Formats as regular expressions: RFC 3339 with years, leap days and seconds that Python knows,
RFC 6901 and its relatives."""

REFUSED = frozenset({"regex"})
"""Formats of the standard that no grammar describes. All others are notes for the reader."""


def enforceable_format(pointer: str, schema: dict[str, Any]) -> None:
    """Say ``format`` in a way that is enforced, or leave it out if it is a mere note.

    Raises:
        GrammarError: no grammar describes it.
    """
    name = schema.get("format")
    if name is None or name in KNOWN_FORMATS:
        return
    del schema["format"]
    if not isinstance(name, str):
        raise GrammarError(f"{pointer}/format: must be a string")
    if name in REFUSED:
        raise GrammarError(f"{pointer}/format: {name!r} cannot be enforced")
    if name in NARROWER:
        schema["format"] = NARROWER[name]
    elif name in PATTERNS:
        pattern = f"^(?:{PATTERNS[name]})$"
        if schema.setdefault("pattern", pattern) is not pattern:
            schema["allOf"] = [*schema.get("allOf", ()), {"pattern": pattern}]


def merge_disjoint_values(schema: dict[str, Any]) -> None:
    """Make ``anyOf`` of a ``oneOf`` whose choices are lists of values that have none in common."""
    choices = schema.get("oneOf", ())
    if "anyOf" in schema or not all(isinstance(part, dict) for part in choices):
        return
    values: list[str] = []
    for part in choices:
        own = [part["const"]] if "const" in part else part.get("enum", [])
        if not own or "$ref" in part:
            return
        values += {_identity(value) for value in own}
    if choices and len(set(values)) == len(values):
        schema["anyOf"] = schema.pop("oneOf")


def _identity(value: Any) -> str:
    """The same text for values that JSON Schema takes for equal, as 1 and 1.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_identity, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_identity(value[k])}" for k in sorted(value)) + "}"
    return json.dumps(value)
