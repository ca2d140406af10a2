"""The HTTP application: every route in a table, and around them what holds for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sglang import __version__
from sglang.srt.entrypoints import (
    embedding,
    native,
    parsing,
    probes,
    profile,
    sessions,
    weights,
)
from sglang.srt.entrypoints.anthropic.routes import count_tokens, create_message
from sglang.srt.entrypoints.auth import Access, Authentication, Keys
from sglang.srt.entrypoints.errors import on_http_error, on_internal_error, on_request_error
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.metrics_page import metrics_page
from sglang.srt.entrypoints.openai.batch_lines import start_batches
from sglang.srt.entrypoints.openai.batches import (
    cancel_batch,
    create_batch,
    get_batch,
    list_batches,
)
from sglang.srt.entrypoints.openai.chat import chat_completions
from sglang.srt.entrypoints.openai.completions import completions
from sglang.srt.entrypoints.openai.embeddings import embeddings
from sglang.srt.entrypoints.openai.files import (
    delete_file,
    file_content,
    get_file,
    list_files,
    upload_file,
)
from sglang.srt.entrypoints.openai.models import get_model, list_models
from sglang.srt.entrypoints.openai.responses import (
    cancel_response,
    create_response,
    delete_response,
    get_response,
    list_input_items,
)
from sglang.srt.entrypoints.openai.scoring import rerank, score
from sglang.srt.entrypoints.origin_check import OriginCheck
from sglang.srt.entrypoints.paths import RootPath
from sglang.srt.entrypoints.sse import ClientGone
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.entrypoints.telemetry import REQUEST_ID_HEADER, ROUTE, Telemetry
from sglang.srt.entrypoints.tokenization import detokenize, tokenize
from sglang.srt.managers.errors import RequestError

Handler = Callable[[ServerState, Request], Awaitable[Response]]

Table = tuple[tuple[str, list[str], Handler], ...]

_GET = ["GET"]
_POST = ["POST"]

ROUTES: Table = (
    ("/generate", ["POST", "PUT"], native.generate),
    ("/v1/chat/completions", _POST, chat_completions),
    ("/v1/completions", _POST, completions),
    ("/v1/responses", _POST, create_response),
    ("/v1/responses/{response_id}", _GET, get_response),
    ("/v1/responses/{response_id}", ["DELETE"], delete_response),
    ("/v1/responses/{response_id}/cancel", _POST, cancel_response),
    ("/v1/responses/{response_id}/input_items", _GET, list_input_items),
    ("/v1/messages", _POST, create_message),
    ("/v1/messages/count_tokens", _POST, count_tokens),
    ("/tokenize", _POST, tokenize),
    ("/detokenize", _POST, detokenize),
    ("/v1/tokenize", _POST, tokenize),
    ("/v1/detokenize", _POST, detokenize),
    ("/v1/embeddings", _POST, embeddings),
    ("/v1/rerank", _POST, rerank),
    ("/v1/score", _POST, score),
    ("/encode", ["POST", "PUT"], embedding.encode),
    ("/classify", ["POST", "PUT"], embedding.classify),
    ("/v1/files", _GET, list_files),
    ("/v1/files", _POST, upload_file),
    ("/v1/files/{file_id}", _GET, get_file),
    ("/v1/files/{file_id}", ["DELETE"], delete_file),
    ("/v1/files/{file_id}/content", _GET, file_content),
    ("/v1/batches", _GET, list_batches),
    ("/v1/batches", _POST, create_batch),
    ("/v1/batches/{batch_id}", _GET, get_batch),
    ("/v1/batches/{batch_id}/cancel", _POST, cancel_batch),
    ("/open_session", _POST, sessions.open_session),
    ("/close_session", _POST, sessions.close_session),
    ("/function_call", _POST, parsing.function_call),
    ("/separate_reasoning", _POST, parsing.separate_reasoning),
)
"""Requests proper; a server that is about to end refuses them."""

INFO_ROUTES: Table = (
    ("/v1/models", _GET, list_models),
    # A model's name may be a path.
    ("/v1/models/{model:path}", _GET, get_model),
    ("/metrics", _GET, metrics_page),
    ("/get_model_info", _GET, native.model_info),
    ("/get_server_info", _GET, native.server_info),
    # Deprecated; /get_server_info merges them.
    ("/get_server_args", _GET, native.server_info),
    ("/get_memory_pool_size", _GET, native.server_info),
    ("/get_max_total_num_tokens", _GET, native.server_info),
)

OPERATOR_ROUTES: Table = (
    ("/flush_cache", ["GET", "POST"], native.flush_cache),
    ("/abort_request", _POST, native.abort_request),
)

DANGEROUS_ROUTES: Table = (
    ("/update_weights_from_disk", _POST, weights.update_weights_from_disk),
    ("/update_weights", _POST, weights.update_weights_from_disk),
    ("/start_profile", _POST, profile.start_profile),
    ("/stop_profile", _POST, profile.stop_profile),
)
"""They change what the server runs, or write where it can."""

PROBES: tuple[tuple[str, Callable[[Lifecycle, Request], Awaitable[Response]]], ...] = (
    ("/health", probes.health),
    ("/ready", probes.ready),
    ("/live", probes.live),
    ("/health_generate", probes.health_generate),
)


def create_app(server: ServerState | Lifecycle) -> FastAPI:
    """The application of a server.

    Around a running model, it starts and stops what belongs to the model. Around a
    :class:`Lifecycle`, that is up to the caller, who also fills in the model once it is loaded.
    """
    if isinstance(server, Lifecycle):
        lifecycle, lifespan = server, None
    else:
        state = server
        lifecycle = Lifecycle(state.server_args, state.manager.metrics, state)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with running(state):
                yield

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
    args = lifecycle.server_args
    keys = Keys(args.api_key, args.admin_api_key)
    _add_routes(app, lifecycle, keys)
    _add_middleware(app, lifecycle, keys)
    return app


@asynccontextmanager
async def running(state: ServerState) -> AsyncIterator[ServerState]:
    """A model at work, with the batches that an earlier server has left."""
    state.manager.start()
    try:
        await start_batches(state)
        yield state
    finally:
        await state.batches.stop()
        await state.manager.stop()


def _add_routes(app: FastAPI, lifecycle: Lifecycle, keys: Keys) -> None:
    """Plain Starlette routes: bodies are parsed by hand, without regard to Content-Type."""

    def add(
        path: str,
        methods: list[str],
        access: Access,
        answer: Callable[[Request], Awaitable[Response]],
    ) -> None:
        async def endpoint(request: Request) -> Response:
            request.scope[ROUTE] = path
            keys.check(access, request.scope)
            try:
                return await answer(request)
            except (RequestError, HTTPException, ClientGone):
                raise
            except Exception as error:
                return await on_internal_error(request, error)

        app.add_route(path, endpoint, methods=methods)

    def add_all(table: Table, access: Access, state: Callable[[], ServerState]) -> None:
        for path, methods, handler in table:
            add(path, methods, access, partial(_with_state, handler, state))

    add_all(ROUTES, Access.USER, lifecycle.accepting)
    add_all(INFO_ROUTES, Access.USER, lifecycle.running)
    add_all(OPERATOR_ROUTES, Access.OPERATOR, lifecycle.running)
    add_all(DANGEROUS_ROUTES, Access.DANGEROUS, lifecycle.running)
    for path, probe in PROBES:
        add(path, _GET, Access.USER, partial(probe, lifecycle))


async def _with_state(
    handler: Handler, state: Callable[[], ServerState], request: Request
) -> Response:
    return await handler(state(), request)


def _add_middleware(app: FastAPI, lifecycle: Lifecycle, keys: Keys) -> None:
    """From the inside out: what is added last sees a request first."""
    args = lifecycle.server_args
    app.add_middleware(Authentication, keys=keys)
    if args.cors_allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=args.cors_allow_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID_HEADER],
        )
    app.add_middleware(OriginCheck, args=args)
    app.add_middleware(Telemetry, metrics=lifecycle.metrics)
    app.add_middleware(RootPath, root_path=args.root_path)


async def _on_client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)
