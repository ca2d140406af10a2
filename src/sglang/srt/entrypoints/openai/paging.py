"""Lists that are read page by page: their query parameters and their shape."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from sglang.srt.entrypoints.openapi.spec import Query
from sglang.srt.managers.errors import RequestError

AFTER = Query("after", {"type": "string"}, "What comes behind the item with this id.")
ORDER = Query("order", {"enum": ["asc", "desc"], "default": "desc"}, "By age.")


def limit_query(default: int, maximum: int) -> Query:
    """How long a page may be."""
    schema = {"type": "integer", "minimum": 1, "maximum": maximum, "default": default}
    return Query("limit", schema, "At most so many.")


def check_query(request: Request, known: Collection[Query]) -> None:
    """Refuse parameters that would be ignored."""
    names = {query.name for query in known}
    for name in request.query_params:
        if name not in names:
            message = f"unknown query parameter {name[:60]!r}"
            raise RequestError(message, param=name[:60], code="unknown_field")


def page_limit(request: Request, default: int, maximum: int) -> int:
    """The query parameter ``limit``."""
    text = request.query_params.get("limit", str(default))
    # isdecimal() alone takes other scripts' digits, of any number.
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not 1 <= limit <= maximum:
        raise RequestError(f"limit is {text[:20]!r}; it must be in [1, {maximum}]", param="limit")
    return limit


def page_body(items: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """A page as OpenAI writes it."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }
