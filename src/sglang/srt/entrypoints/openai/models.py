"""``/v1/models``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglang.srt.entrypoints.json_response import json_response
from sglang.srt.entrypoints.state import ServerState
from sglang.srt.managers.errors import RequestError


async def list_models(state: ServerState, request: Request) -> Response:
    """The one model that is served."""
    return json_response({"object": "list", "data": [_model(state)]})


async def get_model(state: ServerState, request: Request) -> Response:
    """A model by name."""
    name = request.path_params["model"]
    if name != state.model_name:
        raise RequestError(
            f"the model {name!r} does not exist; this server has {state.model_name!r}",
            status=404,
            param="model",
            code="model_not_found",
        )
    return json_response(_model(state))


def _model(state: ServerState) -> dict[str, Any]:
    return {
        "id": state.model_name,
        "object": "model",
        "created": state.created,
        "owned_by": "sglang",
        "root": state.model_name,
        "max_model_len": state.model_config.context_length,
    }
