"""Every metric of the server, declared once: the page, its documentation and the dashboard's test
derive from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MODEL = ("model_name",)
FINISH_REASONS = ("stop", "length", "abort", "timeout", "error")


@dataclass(frozen=True)
class Metric:
    """What Prometheus and its users are told of a metric."""

    name: str
    """As it is exposed; those of counters end in ``_total``."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = MODEL
    buckets: tuple[float, ...] = ()
    """Upper bounds, ascending, without the infinite one."""
    engine_key: str = ""
    """Where the engine's own report has the value, if it comes from there."""


def _exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    bounds = [start]
    while len(bounds) < count:
        bounds.append(start * factor ** len(bounds))
    return tuple(bounds)


def _engine(name: str, key: str, help: str) -> Metric:
    kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
    return Metric(f"sglang:{name}", kind, help, engine_key=key)


# --------------------------------------------------------------------------------------
# Requests
# --------------------------------------------------------------------------------------

PROMPT_TOKENS = Metric(
    "sglang:prompt_tokens_total", "counter", "Number of prefill tokens processed."
)
GENERATION_TOKENS = Metric(
    "sglang:generation_tokens_total", "counter", "Number of generation tokens processed."
)
CACHED_TOKENS = Metric(
    "sglang:cached_tokens_total", "counter", "Number of prompt tokens found in the prefix cache."
)
REQUESTS = Metric(
    "sglang:num_requests_total",
    "counter",
    "Number of finished requests, by how they ended: stop, length, abort, timeout or error.",
    (*MODEL, "finish_reason"),
)
TIME_TO_FIRST_TOKEN = Metric(
    "sglang:time_to_first_token_seconds",
    "histogram",
    "Histogram of time to first token in seconds.",
    buckets=(
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 25.0, 30.0),
    ),
)
E2E_LATENCY = Metric(
    "sglang:e2e_request_latency_seconds",
    "histogram",
    "Histogram of End-to-end request latency in seconds",
    buckets=(*(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),),
)
TIME_PER_OUTPUT_TOKEN = Metric(
    "sglang:time_per_output_token_seconds",
    "histogram",
    "Histogram of time per output token in seconds.",
    buckets=(
        *(0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2),
        *(0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
    ),
)
INTER_TOKEN_LATENCY = Metric(
    "sglang:inter_token_latency_seconds",
    "histogram",
    "Histogram of the time between two tokens of a request in seconds.",
    buckets=(
        *(0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1),
        *(0.15, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 8.0),
    ),
)
QUEUE_TIME = Metric(
    "sglang:queue_time_seconds",
    "histogram",
    "Histogram of the time that a request waits for its first step in seconds.",
    buckets=(
        *(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0),
        *(60.0, 120.0, 300.0),
    ),
)
FUNCTION_LATENCY = Metric(
    "sglang:func_latency_seconds",
    "histogram",
    "Function latency in seconds",
    ("name",),
    _exponential(0.05, 1.5, 18),
)

# --------------------------------------------------------------------------------------
# The engine's own report
# --------------------------------------------------------------------------------------

ENGINE = (
    _engine("num_running_reqs", "num_running_reqs", "The number of running requests"),
    _engine("num_used_tokens", "num_used_tokens", "The number of used tokens"),
    _engine("gen_throughput", "gen_throughput", "The generate throughput (token/s)"),
    _engine("num_queue_reqs", "num_waiting_reqs", "The number of requests in the waiting queue"),
    _engine("token_usage", "token_usage", "The token usage"),
    _engine("cache_hit_rate", "cache_hit_rate", "The cache hit rate"),
    _engine(
        "num_grammar_queue_reqs",
        "num_grammar_queue_reqs",
        "The number of requests whose grammar is being compiled",
    ),
    _engine("num_cached_tokens", "num_cached_tokens", "The number of tokens in the prefix cache"),
    _engine("max_total_num_tokens", "max_total_num_tokens", "The size of the KV cache in tokens"),
    _engine(
        "num_retractions_total",
        "retractions",
        "Number of times that a running request was sent back to the queue for lack of memory.",
    ),
    _engine("num_steps_total", "steps", "Number of forward passes."),
)

# --------------------------------------------------------------------------------------
# HTTP
# --------------------------------------------------------------------------------------

HTTP_REQUESTS = Metric(
    "sglang:http_requests_total",
    "counter",
    "Number of HTTP requests answered, by route and status.",
    ("route", "method", "status"),
)
HTTP_LATENCY = Metric(
    "sglang:http_request_duration_seconds",
    "histogram",
    "Histogram of the time to the end of an HTTP answer in seconds.",
    ("route", "method"),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
HTTP_ACTIVE = Metric(
    "sglang:http_requests_active", "gauge", "The number of HTTP requests being answered", ()
)

METRICS: tuple[Metric, ...] = (
    *(PROMPT_TOKENS, GENERATION_TOKENS, CACHED_TOKENS, REQUESTS),
    *(TIME_TO_FIRST_TOKEN, E2E_LATENCY, TIME_PER_OUTPUT_TOKEN, INTER_TOKEN_LATENCY, QUEUE_TIME),
    *(FUNCTION_LATENCY, *ENGINE, HTTP_REQUESTS, HTTP_LATENCY, HTTP_ACTIVE),
)
"""In the order of the page."""
