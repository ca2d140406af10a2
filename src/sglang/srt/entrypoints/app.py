"""The HTTP application: every route in one table, authentication and error handling around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sglang import __version__
from sglang.srt.entrypoints import native, not_yet
from sglang.srt.entrypoints.auth import ApiKeyAuth
from sglang.srt.entrypoints.errors import on_http_error, on_internal_error, on_request_error
from sglang.srt.entrypoints.openai.chat import chat_completions
from sglang.srt.entrypoints.openai.completions import completions
from sglang.srt.entrypoints.openai.models import get_model, list_models
from sglang.srt.entrypoints.sse import ClientGone
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

Handler = Callable[[ServerState, Request], Awaitable[Response]]

_GET = ["GET"]
_POST = ["POST"]

ROUTES: tuple[tuple[str, list[str], Handler], ...] = (
    ("/generate", ["POST", "PUT"], native.generate),
    ("/v1/chat/completions", _POST, chat_completions),
    ("/v1/completions", _POST, completions),
    ("/v1/models", _GET, list_models),
    # A model's name may be a path.
    ("/v1/models/{model:path}", _GET, get_model),
    ("/health", _GET, native.health),
    ("/health_generate", _GET, native.health_generate),
    ("/get_model_info", _GET, native.model_info),
    ("/get_server_info", _GET, native.server_info),
    # Deprecated; /get_server_info merges them.
    ("/get_server_args", _GET, native.server_info),
    ("/get_memory_pool_size", _GET, native.server_info),
    ("/get_max_total_num_tokens", _GET, native.server_info),
    ("/flush_cache", ["GET", "POST"], native.flush_cache),
    ("/abort_request", _POST, native.abort_request),
)


def create_app(state: ServerState) -> FastAPI:
    """The application around a running model; it starts and stops the manager's loop."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state.manager.start()
        yield
        await state.manager.stop()

    app = FastAPI(
        title="sglang",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            RequestError: on_request_error,
            HTTPException: on_http_error,
            ClientGone: _on_client_gone,
            Exception: on_internal_error,
        },
    )
    for path, methods, handler in ROUTES:
        # Plain Starlette routes: bodies are parsed by hand, without regard to Content-Type.
        app.add_route(path, _bound(handler, state), methods=methods)
    for path in not_yet.ROUTES:
        app.add_route(path, not_yet.not_implemented, methods=not_yet.METHODS)
    if state.server_args.api_key:
        app.add_middleware(ApiKeyAuth, api_key=state.server_args.api_key)
    return app


def _bound(handler: Handler, state: ServerState) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(state, request)

    return endpoint


async def _on_client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)
