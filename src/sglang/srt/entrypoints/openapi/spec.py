"""What a route says of itself: the types of its body, its query and its answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """A query parameter."""

    name: str
    schema: Mapping[str, Any]
    about: str


@dataclass(frozen=True)
class Body:
    """The body of a request: a JSON object with the fields of a type."""

    type: Any
    """A pydantic model, a dataclass or a TypedDict: the one that the route reads the body with."""
    ignored: Collection[str] = ()
    """Further fields, which are accepted without effect."""
    extras: Any = None
    """A type ..."""
    extra_names: Collection[str] = ()
    """... of whose fields these may be there as well."""
    is_optional: bool = False


@dataclass(frozen=True)
class Form:
    """The body of an upload: a form with a file and other fields."""

    file_field: str
    fields: Mapping[str, Mapping[str, Any]]
    required: Collection[str]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What the reference says of a route, beside the docstring of its handler."""

    tag: str
    body: Body | Form | None = None
    query: Collection[Query] = ()
    answer: Any = None
    """The type of the JSON that status 200 comes with; None: no body."""
    media_type: str = "application/json"
    """Of an answer that is no JSON, whose type is ``str`` or ``bytes``."""
    streams: bool = False
    """With ``"stream": true`` the answer is a stream of events."""
    more: Mapping[int, Any] = field(default_factory=dict)
    """Further statuses with bodies of their own (or None)."""
    errors: Collection[int] = ()
    """Statuses of errors beyond those that any route may answer with."""
