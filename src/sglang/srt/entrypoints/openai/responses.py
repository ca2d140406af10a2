"""``/v1/responses``: OpenAI's Responses API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renaming
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.chat_run import start_chat
from sglang.srt.entrypoints.openai.paging import check_query, page_body, page_limit
from sglang.srt.entrypoints.openai.responses_answer import STREAM, ResponseAnswer
from sglang.srt.entrypoints.openai.responses_items import Item, chat_messages, new_id, read_items
from sglang.srt.entrypoints.openai.responses_protocol import (
    NAMES,
    ResponsesRequest,
    parse_responses_request,
    to_chat,
)
from sglang.srt.entrypoints.sse import event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

MAX_PAGE, DEFAULT_PAGE = 100, 20


async def create_response(state: ServerState, request: Request) -> Response:
    """Answer a conversation, which may go on from a response that is stored."""
    body, extras = parse_responses_request(await read_json_object(request))
    own = read_items(body.input)
    items = [*_context(state, body), *own]
    id = new_id("resp")
    with renaming(NAMES):
        chat = to_chat(body, extras, chat_messages(items))
        run = await unless_disconnected(request, start_chat(state, chat, id))
    answer = ResponseAnswer(state, id, body, chat, run, tuple(own), tuple(items))
    if body.stream:
        return await event_stream(request, answer.events(), STREAM)
    return json_response(await unless_disconnected(request, answer.whole()))


async def get_response(state: ServerState, request: Request) -> Response:
    """A response that is stored."""
    check_query(request, {"include", "include[]"})
    return json_response(state.responses.get(_id(request)).response)


async def delete_response(state: ServerState, request: Request) -> Response:
    """Forget a response."""
    id = _id(request)
    state.responses.delete(id)
    return json_response({"id": id, "object": "response", "deleted": True})


async def cancel_response(state: ServerState, request: Request) -> Response:
    """Only what runs in the background can be cancelled, and nothing does."""
    state.responses.get(_id(request))
    raise RequestError(
        "only responses with background=true can be cancelled, which is not implemented yet; "
        "to stop another, close its connection"
    )


async def list_input_items(state: ServerState, request: Request) -> Response:
    """The items that a request brought, the last first unless ``order`` is asc."""
    check_query(request, {"after", "limit", "order", "include", "include[]"})
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError(f"order is {order[:20]!r}; it must be asc or desc", param="order")
    limit = page_limit(request, DEFAULT_PAGE, MAX_PAGE)
    items = list(state.responses.get(_id(request)).input)
    if order == "desc":
        items.reverse()
    after = request.query_params.get("after")
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise RequestError(f"after is {after[:80]!r}, which is none of them", param="after")
        items = items[ids.index(after) + 1 :]
    return json_response(page_body(items[:limit], has_more=len(items) > limit))


def _context(state: ServerState, body: ResponsesRequest) -> tuple[Item, ...]:
    """The conversation so far."""
    if body.previous_response_id is None:
        return ()
    try:
        return state.responses.get(body.previous_response_id).context
    except RequestError as error:
        raise RequestError(
            error.message, param="previous_response_id", code="previous_response_not_found"
        ) from None


def _id(request: Request) -> str:
    id: str = request.path_params["response_id"]
    return id
