"""``/metrics``: what Prometheus reads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError

ENGINE_SECONDS = 1.0
"""How long the page waits for the engine, which answers between two steps. Its numbers are those
of last time when it takes longer."""


async def metrics_page(state: ServerState, request: Request) -> Response:
    """The page in the text format of Prometheus."""
    metrics = state.manager.metrics
    if metrics is None:
        raise RequestError(
            "there are no metrics: start the server with --enable-metrics",
            status=404,
            code="metrics_disabled",
        )
    metrics.engine(await state.manager.recent_state(ENGINE_SECONDS))
    media_type = "text/plain; version=0.0.4; charset=utf-8"
    return Response(metrics.render(), media_type=media_type)
