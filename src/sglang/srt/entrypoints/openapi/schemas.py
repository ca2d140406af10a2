"""JSON schemas of the types that requests are read with and answers are written as.

What a type's attributes mean is said in the strings below them, which become descriptions.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter

from sglang.srt.entrypoints.openapi.spec import Body, Schema
from sglang.srt.sampling import sampling_params

REF = "#/components/schemas/"
_ALIASES = {"min_tokens": "min_new_tokens"}
"""Names of sampling parameters in the OpenAI routes -> the runtime's."""
IGNORED_TEXT = "Accepted, without effect."


class Schemas:
    """The schemas of a document, by name; those of the same type are written once."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._known: dict[Any, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of a type: a reference, if it has a name."""
        if kind not in self._known:
            self._known[kind] = self._make(kind)
        return self._known[kind]

    def _make(self, kind: Any) -> Schema:
        schema = TypeAdapter(kind).json_schema(ref_template=REF + "{model}", mode="validation")
        for name, part in schema.pop("$defs", {}).items():
            self.components.setdefault(name, part)
        if "title" not in schema or schema.get("type") != "object":
            return _untitled(schema)
        name = kind.__name__
        self.components[name] = _described(schema, kind)
        return {"$ref": REF + name}

    def of_body(self, body: Body) -> Schema:
        """The schema of a request's body: what it may have, and nothing else."""
        self.of(body.type)
        schema = self.components[body.type.__name__]
        properties = schema.setdefault("properties", {})
        if body.extras is not None:
            self.of(body.extras)
            others = self.components[body.extras.__name__]["properties"]
            properties |= {name: others[name] for name in sorted(body.extra_names)}
        required = schema.get("required", [])
        sampling = sampling_params.json_schemas()
        texts = attribute_texts(sampling_params.SamplingParams)
        for name, given in properties.items():
            own = sampling.get(_ALIASES.get(name, name))
            known = dict(given)
            if own is not None:
                known = _with(own, {"description": texts.get(_ALIASES.get(name, name)), **given})
            # A null means "not given".
            properties[name] = known if name in required else _nullable(known)
        properties |= {
            name: {"description": IGNORED_TEXT}
            for name in sorted(body.ignored)
            if name not in properties
        }
        schema["additionalProperties"] = False
        return {"$ref": REF + body.type.__name__}

    def add(self, name: str, schema: Schema) -> Schema:
        """Keep a schema that was written by hand under a name."""
        self.components[name] = schema
        return {"$ref": REF + name}


def sampling_object() -> Schema:
    """The object ``sampling_params`` of the native routes."""
    texts = attribute_texts(sampling_params.SamplingParams)
    return {
        "type": "object",
        "description": "How tokens are chosen and when an answer ends.",
        "properties": {
            name: _nullable(_with(schema, {"description": texts[name]} if name in texts else {}))
            for name, schema in sampling_params.json_schemas().items()
        },
        "additionalProperties": False,
    }


def attribute_texts(kind: type) -> dict[str, str]:
    """The strings below the attributes of a class and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("sglang."):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        [definition] = tree.body
        assert isinstance(definition, ast.ClassDef)
        for statement, following in zip(definition.body, definition.body[1:], strict=False):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(following, ast.Expr):
                continue
            if isinstance(statement.target, ast.Name) and isinstance(following.value, ast.Constant):
                text = str(following.value.value)
                texts[statement.target.id] = inspect.cleandoc(text).replace("``", "`")
    return texts


def _described(schema: Schema, kind: Any) -> Schema:
    """The schema of an object with descriptions, without titles."""
    texts = attribute_texts(kind)
    properties = {
        name: {**_untitled(part), **({"description": texts[name]} if name in texts else {})}
        for name, part in schema.get("properties", {}).items()
    }
    schema = {**_untitled(schema), "properties": properties}
    if not issubclass(kind, BaseModel) and kind.__doc__ and not kind.__doc__.startswith("dict("):
        schema["description"] = inspect.cleandoc(kind.__doc__)
    return schema


def _untitled(schema: Mapping[str, Any]) -> Schema:
    """Without what says nothing."""
    return {
        name: value
        for name, value in schema.items()
        if name != "title" and (name, value) != ("default", None)
    }


def _with(schema: Schema, given: Mapping[str, Any]) -> Schema:
    return {**schema, **_about(given)}


def _about(schema: Mapping[str, Any]) -> Schema:
    """What does not restrict the values."""
    return {name: schema[name] for name in ("description", "default") if name in schema}


def _nullable(schema: Schema) -> Schema:
    about = _about(schema)
    rest = {name: value for name, value in schema.items() if name not in about}
    if not rest or {"type": "null"} in rest.get("anyOf", []):
        return schema
    choices = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    return {"anyOf": [*choices, {"type": "null"}], **about}
