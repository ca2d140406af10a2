"""``/v1/responses``: OpenAI's Responses API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.body import read_json_object
from sglang.srt.entrypoints.errors import renaming
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.openai.chat_run import count_prompt_tokens, start_chat
from sglang.srt.entrypoints.openai.paging import (
    AFTER,
    ORDER,
    check_query,
    limit_query,
    page_body,
    page_limit,
)
from sglang.srt.entrypoints.openai.responses_answer import STREAM, ResponseAnswer
from sglang.srt.entrypoints.openai.responses_items import Item, chat_messages, new_id, read_items
from sglang.srt.entrypoints.openai.responses_protocol import (
    NAMES,
    ResponsesRequest,
    parse_responses_request,
    to_chat,
)
from sglang.srt.entrypoints.openapi.spec import Query
from sglang.srt.entrypoints.sse import event_stream, unless_disconnected
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

MAX_PAGE, DEFAULT_PAGE = 100, 20
GET = tuple(
    Query(name, {"type": "string"}, "Accepted, without effect.")
    for name in ("include", "include[]")
)
LIST_ITEMS = (AFTER, ORDER, limit_query(DEFAULT_PAGE, MAX_PAGE), *GET)


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
    if body.background:
        return json_response(state.background.start(answer))
    if body.stream:
        return await event_stream(request, answer.events(), STREAM)
    return json_response(await unless_disconnected(request, answer.whole()))


async def count_input_tokens(state: ServerState, request: Request) -> Response:
    """How many tokens the model would read, without an answer."""
    body, extras = parse_responses_request(await read_json_object(request))
    items = [*_context(state, body), *read_items(body.input)]
    with renaming(NAMES):
        chat = to_chat(body, extras, chat_messages(items))
        count = await unless_disconnected(request, count_prompt_tokens(state, chat))
    return json_response({"object": "response.input_tokens", "input_tokens": count})


async def get_response(state: ServerState, request: Request) -> Response:
    """A response that is stored."""
    check_query(request, GET)
    return json_response(state.background.get(_id(request)))


async def delete_response(state: ServerState, request: Request) -> Response:
    """Forget a response."""
    id = _id(request)
    await state.background.delete(id)
    return json_response({"id": id, "object": "response", "deleted": True})


async def cancel_response(state: ServerState, request: Request) -> Response:
    """Stop a response that is made in the background."""
    return json_response(await state.background.cancel(_id(request)))


async def list_input_items(state: ServerState, request: Request) -> Response:
    """The items that a request brought, the last first unless ``order`` is asc."""
    check_query(request, LIST_ITEMS)
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
        previous = state.responses.get(body.previous_response_id)
    except RequestError as error:
        raise RequestError(
            error.message, param="previous_response_id", code="previous_response_not_found"
        ) from None
    status = previous.response["status"]
    if status not in ("completed", "incomplete"):
        raise RequestError(
            f"the response {previous.response['id']!r} is {status}: nothing can go on from it",
            param="previous_response_id",
        )
    return previous.context


def _id(request: Request) -> str:
    id: str = request.path_params["response_id"]
    return id
