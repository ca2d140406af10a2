"""``/start_profile`` and ``/stop_profile``: traces of the engine's steps."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from typing_extensions import TypedDict

from sglang.srt.entrypoints.body import check_fields, read_optional_json_object
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import StartProfile, StopProfile
from sglang.srt.managers.request_batch import as_int, as_text

DIRECTORY_VARIABLE = "SGLANG_TORCH_PROFILER_DIR"
ACTIVITIES = ("CPU", "GPU")
MAX_STEPS = 1 << 20
MAX_PATH_LENGTH = 4096


class StartProfileBody(TypedDict, total=False):
    """Body of ``/start_profile``."""

    output_dir: str
    """A folder in the one for traces."""
    num_steps: int
    """Stop after so many steps; by default at /stop_profile."""
    activities: list[str]
    """CPU and GPU; by default what there is."""


class StopProfileBody(TypedDict):
    """Body of ``/stop_profile``: there is nothing to say."""


async def start_profile(state: ServerState, request: Request) -> Response:
    """Record the engine's steps from now on."""
    body = await read_optional_json_object(request)
    check_fields(body, StartProfileBody.__annotations__)
    await start(state, **{name: value for name, value in body.items() if value is not None})
    return PlainTextResponse("Start profiling.\n")


async def stop_profile(state: ServerState, request: Request) -> Response:
    """Write what was recorded."""
    check_fields(await read_optional_json_object(request), StopProfileBody.__annotations__)
    path = await stop(state)
    return PlainTextResponse(f"Stop profiling. The trace is in {path}\n")


async def start(
    state: ServerState,
    output_dir: Any = None,
    num_steps: Any = None,
    activities: Any = None,
) -> str:
    """Begin a trace; returns the file that it will be in.

    Raises:
        RequestError: an argument is wrong, one is being recorded, or the engine is gone.
    """
    folder = trace_folder(output_dir)
    if num_steps is not None:
        num_steps = as_int(num_steps, "num_steps", 1, MAX_STEPS)
    make = partial(
        StartProfile,
        folder=str(folder),
        activities=_checked_activities(activities),
        num_steps=num_steps,
    )
    return await _told_path(state, make)


async def stop(state: ServerState) -> str:
    """End the trace; returns its file.

    Raises:
        RequestError: none is being recorded, it cannot be written, or the engine is gone.
    """
    return await _told_path(state, StopProfile)


def trace_folder(output_dir: Any = None) -> Path:
    """The folder for traces: that of the environment, or ``output_dir`` in it.

    Raises:
        RequestError: the environment names none, or ``output_dir`` is elsewhere.
    """
    root = os.environ.get(DIRECTORY_VARIABLE)
    if not root:
        raise RequestError(
            f"the server does not know where traces go: start it with {DIRECTORY_VARIABLE} set to "
            "a folder"
        )
    allowed = Path(root).expanduser().resolve()
    if output_dir is None:
        return allowed
    given = as_text(output_dir, "output_dir", MAX_PATH_LENGTH)
    if "\0" in given:
        raise RequestError("output_dir holds a null character", param="output_dir")
    folder = (allowed / given).resolve()
    if not folder.is_relative_to(allowed):
        raise RequestError(
            f"output_dir must be in the folder that {DIRECTORY_VARIABLE} names", param="output_dir"
        )
    return folder


def _checked_activities(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not value or any(each not in ACTIVITIES for each in value):
        raise RequestError("activities must be a list of CPU and GPU", param="activities")
    return sorted(set(value))


async def _told_path(state: ServerState, make: Any) -> str:
    reply = await state.manager.control(make)
    if not reply.ok:
        raise RequestError(reply.message)
    return str(reply.payload["path"])
