"""The routes about the server itself: what it serves, how it is, what steers it."""

from __future__ import annotations

from sglang.srt.entrypoints import native, probes, profile, weights
from sglang.srt.entrypoints.auth import Access
from sglang.srt.entrypoints.metrics_page import metrics_page
from sglang.srt.entrypoints.openai import models
from sglang.srt.entrypoints.openapi import answers, openai_answers
from sglang.srt.entrypoints.openapi.spec import Body, Spec
from sglang.srt.entrypoints.route import Probe, Route

_GET = ("GET",)
_POST = ("POST",)

_OPENAI, _SERVER = "OpenAI", "Server"

_INFO = Spec(tag=_SERVER, answer=answers.ServerInfo)
_UPDATE = Spec(
    tag=_SERVER,
    body=Body(weights.UpdateWeightsBody),
    answer=answers.Updated,
    more={400: answers.Updated},
)

INFO_ROUTES = (
    Route(
        "/v1/models",
        _GET,
        models.list_models,
        Spec(tag=_OPENAI, answer=openai_answers.ModelList),
    ),
    # A model's name may be a path.
    Route(
        "/v1/models/{model:path}",
        _GET,
        models.get_model,
        Spec(tag=_OPENAI, answer=openai_answers.Model, errors=(404,)),
    ),
    Route(
        "/metrics",
        _GET,
        metrics_page,
        Spec(tag=_SERVER, answer=str, media_type="text/plain", errors=(404,)),
    ),
    Route("/get_model_info", _GET, native.model_info, Spec(tag=_SERVER, answer=answers.ModelInfo)),
    Route("/get_server_info", _GET, native.server_info, _INFO),
    # Deprecated; /get_server_info merges them.
    Route("/get_server_args", _GET, native.server_info, _INFO),
    Route("/get_memory_pool_size", _GET, native.server_info, _INFO),
    Route("/get_max_total_num_tokens", _GET, native.server_info, _INFO),
    Route(
        "/flush_cache",
        ("GET", "POST"),
        native.flush_cache,
        Spec(tag=_SERVER, answer=str, media_type="text/plain"),
        Access.OPERATOR,
    ),
    Route(
        "/abort_request",
        _POST,
        native.abort_request,
        Spec(tag=_SERVER, body=Body(native.AbortBody), answer=answers.Aborted),
        Access.OPERATOR,
    ),
    # What changes what the server runs, or writes where it can.
    Route(
        "/update_weights_from_disk",
        _POST,
        weights.update_weights_from_disk,
        _UPDATE,
        Access.DANGEROUS,
    ),
    Route("/update_weights", _POST, weights.update_weights_from_disk, _UPDATE, Access.DANGEROUS),
    Route(
        "/start_profile",
        _POST,
        profile.start_profile,
        Spec(
            tag=_SERVER,
            body=Body(profile.StartProfileBody, is_optional=True),
            answer=str,
            media_type="text/plain",
        ),
        Access.DANGEROUS,
    ),
    Route(
        "/stop_profile",
        _POST,
        profile.stop_profile,
        Spec(
            tag=_SERVER,
            body=Body(profile.StopProfileBody, is_optional=True),
            answer=str,
            media_type="text/plain",
        ),
        Access.DANGEROUS,
    ),
)
"""What there is to know and to steer; it works to the end."""

_STATE = Spec(tag=_SERVER, answer=answers.State, more={503: answers.State})

PROBES = (
    Probe("/health", probes.health, Spec(tag=_SERVER, more={503: answers.State})),
    Probe("/ready", probes.ready, _STATE),
    Probe("/live", probes.live, _STATE),
    Probe("/health_generate", probes.health_generate, Spec(tag=_SERVER, more={503: answers.State})),
)
