"""``/update_weights_from_disk``: another checkpoint of the same model, without a restart."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import NotRequired, TypedDict

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.entrypoints.body import check_fields, read_json_object
from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import UpdateWeights
from sglang.srt.managers.request_batch import as_text
from sglang.srt.model_loader.hub import resolve_model_path
from sglang.srt.server_args import OPTIONS, ServerArgsError

logger = logging.getLogger(__name__)

MAX_PATH_LENGTH = 4096
_LOAD_FORMAT = next(option for option in OPTIONS if option.name == "load_format")


class UpdateWeightsBody(TypedDict):
    """Body of ``/update_weights_from_disk``."""

    model_path: str
    """A folder, or a name on the hub."""
    load_format: NotRequired[str]
    """One of those of --load-format; by default the server's."""


class WeightUpdate(NamedTuple):
    """How an update went; after a failure the old weights are served on."""

    success: bool
    message: str


async def update_weights_from_disk(state: ServerState, request: Request) -> Response:
    """Serve the weights of another checkpoint of the model."""
    body = await read_json_object(request)
    check_fields(body, UpdateWeightsBody.__annotations__)
    model_path = as_text(body.get("model_path"), "model_path", MAX_PATH_LENGTH)
    load_format = body.get("load_format")
    if load_format is not None:
        as_text(load_format, "load_format")
    outcome = await update_weights(state, model_path, load_format)
    return json_response(outcome._asdict(), 200 if outcome.success else 400)


async def update_weights(
    state: ServerState, model_path: str, load_format: str | None = None
) -> WeightUpdate:
    """Fetch a checkpoint and have the engine take it; waits for the requests that have begun.

    ``load_format`` None: the server's own. Raises RequestError for one that does not exist, and if
    the engine is gone.
    """
    args = state.server_args
    # Made-up weights are for a start without a checkpoint; an update brings one.
    own = "auto" if args.load_format == "dummy" else args.load_format
    try:
        load_format = _LOAD_FORMAT.check(load_format or own)
    except ServerArgsError as error:
        raise RequestError(str(error), param="load_format") from None
    try:
        folder = await asyncio.to_thread(
            resolve_model_path, model_path, download_dir=args.download_dir, load_format=load_format
        )
    except (ModelLoadError, OSError) as error:
        logger.warning("weights are not updated: %s", error)
        message = f"Failed to get weights iterator: {model_path} (repository not found)."
        return WeightUpdate(False, message)
    make = partial(UpdateWeights, model_path=folder, load_format=load_format)
    reply = await state.manager.control(make)
    if reply.ok:
        state.model_path = model_path
    else:
        logger.warning("weights are not updated: %s", reply.message)
    return WeightUpdate(reply.ok, reply.message)
