"""The HTTP application: the routes, and around them what holds for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sglang import __version__
from sglang.srt.entrypoints.auth import Access, Authentication, Keys
from sglang.srt.entrypoints.errors import on_http_error, on_internal_error, on_request_error
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.openai.batch_lines import start_batches
from sglang.srt.entrypoints.openapi.document import PATH, DocumentRoute
from sglang.srt.entrypoints.origin_check import OriginCheck
from sglang.srt.entrypoints.paths import RootPath
from sglang.srt.entrypoints.route import Handler, Route
from sglang.srt.entrypoints.routes import ROUTES
from sglang.srt.entrypoints.server_routes import INFO_ROUTES, PROBES
from sglang.srt.entrypoints.sse import ClientGone
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.entrypoints.telemetry import REQUEST_ID_HEADER, ROUTE, Telemetry
from sglang.srt.managers.errors import RequestError

_GET = ("GET",)


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
        await state.background.stop()
        await state.manager.stop()


def _add_routes(app: FastAPI, lifecycle: Lifecycle, keys: Keys) -> None:
    """Plain Starlette routes: bodies are parsed by hand, without regard to Content-Type."""

    def add(
        path: str,
        methods: Sequence[str],
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

        app.add_route(path, endpoint, methods=list(methods))

    def add_all(table: Sequence[Route], state: Callable[[], ServerState]) -> None:
        for route in table:
            answer = partial(_with_state, route.handler, state)
            add(route.path, route.methods, route.access, answer)

    add_all(ROUTES, lifecycle.accepting)
    add_all(INFO_ROUTES, lifecycle.running)
    for probe in PROBES:
        add(probe.path, _GET, Access.USER, partial(probe.handler, lifecycle))
    add(PATH, _GET, Access.USER, DocumentRoute(lifecycle.server_args.root_path))


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
