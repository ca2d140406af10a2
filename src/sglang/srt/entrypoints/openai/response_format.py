"""Which grammar an OpenAI body asks for, under the runtime's names.

``response_format`` is OpenAI's own; ``json_schema``, ``regex``, ``ebnf`` and ``structural_tag`` may
stand beside it in the body (``extra_body`` of the client libraries).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sglang.srt.managers.errors import RequestError

GRAMMAR_FIELDS = ("json_schema", "regex", "ebnf", "structural_tag")
"""Further fields of the body that name a grammar, as in ``SamplingParams``."""

RESPONSE_FORMATS = ("text", "json_object", "json_schema", "structural_tag")


def grammar_params(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling parameters for the grammar that a body asks for; empty if it asks for none.

    ``fields`` are those of the body: ``response_format`` and :data:`GRAMMAR_FIELDS` are looked at.
    The values are checked by ``SamplingParams.parse``, and the grammar when it is compiled.

    Raises:
        RequestError: ``response_format`` is malformed, or two grammars are asked for.
    """
    found = {name: fields[name] for name in GRAMMAR_FIELDS if fields.get(name) is not None}
    form = fields.get("response_format")
    wanted = {} if form is None else _from_response_format(form)
    if found and wanted:
        raise RequestError(
            f"response_format and {next(iter(found))} both constrain the answer; give one of them",
            param="response_format",
        )
    return found or wanted


def _from_response_format(form: Any) -> dict[str, Any]:
    if not isinstance(form, Mapping) or not isinstance(form.get("type"), str):
        raise RequestError("response_format must be an object with a type", param="response_format")
    kind = form["type"]
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"json_schema": {"type": "object"}}
    if kind == "json_schema":
        return {"json_schema": _schema(form.get("json_schema"))}
    if kind == "structural_tag":
        return {"structural_tag": form}
    raise RequestError(
        f"response_format.type must be one of {', '.join(RESPONSE_FORMATS)}, got {kind[:60]!r}",
        param="response_format.type",
    )


def _schema(wrapper: Any) -> Any:
    param = "response_format.json_schema"
    if not isinstance(wrapper, Mapping):
        raise RequestError(f"{param} must be an object with a schema", param=param)
    if wrapper.get("schema") is None:
        raise RequestError(f"{param}.schema is missing", param=f"{param}.schema")
    return wrapper["schema"]
