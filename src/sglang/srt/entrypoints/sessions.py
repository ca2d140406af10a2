"""``/open_session`` and ``/close_session``; requests take part by ``session_params``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import NotRequired, TypedDict

from sglang.srt.entrypoints.body import check_fields, read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.request_batch import MAX_RID_LENGTH, as_int, as_text
from sglang.srt.managers.sessions import MAX_CAPACITY


class OpenSessionBody(TypedDict):
    """Body of ``/open_session``."""

    capacity_of_str_len: int
    """Characters that the session may hold."""
    session_id: NotRequired[str]
    """A name for it; by default a new one."""


class CloseSessionBody(TypedDict):
    """Body of ``/close_session``."""

    session_id: str


async def open_session(state: ServerState, request: Request) -> Response:
    """A new session; the answer is its id."""
    body = await read_json_object(request)
    check_fields(body, OpenSessionBody.__annotations__)
    session_id = open_one(state, body.get("capacity_of_str_len"), body.get("session_id"))
    return json_response(session_id)


async def close_session(state: ServerState, request: Request) -> Response:
    """Forget a session; what runs in it ends."""
    body = await read_json_object(request)
    check_fields(body, CloseSessionBody.__annotations__)
    state.manager.sessions.close(_checked_id(body.get("session_id")))
    return Response()


def open_one(state: ServerState, capacity_of_str_len: Any, session_id: Any = None) -> str:
    """The id of a new session. Raises RequestError for wrong values."""
    capacity = as_int(capacity_of_str_len, "capacity_of_str_len", 1, MAX_CAPACITY)
    given = None if session_id is None else _checked_id(session_id)
    return state.manager.sessions.open(capacity, given)


def _checked_id(session_id: Any) -> str:
    return as_text(session_id, "session_id", MAX_RID_LENGTH)
