"""The routes that tell an orchestrator how the server is. None of them waits for the engine but
``/health_generate``.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.lifecycle import Lifecycle
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import EmbeddingReqInput, GenerateReqInput

PROBE_TIMEOUT = 20.0
"""Seconds in which the engine has to show a sign of life."""
POLL_SECONDS = 0.05


async def health(lifecycle: Lifecycle, request: Request) -> Response:
    """200 while the server takes requests; 503 while it loads or drains, or is dead."""
    if lifecycle.status == "ready":
        return Response()
    return json_response({"status": lifecycle.status}, 503)


async def ready(lifecycle: Lifecycle, request: Request) -> Response:
    """The same with a body: whether requests should be sent here."""
    return _told(lifecycle, lifecycle.status == "ready")


async def live(lifecycle: Lifecycle, request: Request) -> Response:
    """Whether it makes sense to keep the server, which may be loading or draining."""
    return _told(lifecycle, lifecycle.status != "dead")


async def health_generate(lifecycle: Lifecycle, request: Request) -> Response:
    """200 if the engine makes progress: the probe's token, or anybody else's."""
    if lifecycle.state is None or lifecycle.status != "ready":
        return json_response({"status": lifecycle.status}, 503)
    alive = await probe(lifecycle.state, PROBE_TIMEOUT)
    return Response(status_code=200 if alive else 503)


async def probe(state: ServerState, timeout: float) -> bool:
    """Whether the engine completes a step within ``timeout`` seconds."""
    manager = state.manager
    before = manager.steps_received
    deadline = time.monotonic() + timeout
    try:
        await asyncio.wait_for(_one_token(state), timeout)
        return True
    except asyncio.TimeoutError:
        return manager.steps_received > before
    except RequestError as error:
        if error.status != 429:
            return False
    # There is no room for the probe among so many others; one of them will do.
    while manager.steps_received == before and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    return manager.steps_received > before


async def _one_token(state: ServerState) -> None:
    """Have the engine process one token, and generate another if it can."""
    if not state.model_config.is_generation:
        await state.manager.embed(EmbeddingReqInput(input_ids=[0], log_metrics=False))
        return
    obj = GenerateReqInput(
        input_ids=[0],
        sampling_params={"max_new_tokens": 1, "temperature": 0.0},
        log_metrics=False,
    )
    async with aclosing(state.manager.generate(obj)) as outputs:
        await anext(outputs)


def _told(lifecycle: Lifecycle, good: bool) -> Response:
    return json_response({"status": lifecycle.status}, 200 if good else 503)
