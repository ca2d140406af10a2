"""The page for Prometheus: documented names, types, labels and buckets, and right numbers."""

from __future__ import annotations

import math
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sglang.srt.metrics.catalog import METRICS, Metric
from sglang.srt.metrics.server_metrics import ServerMetrics

DOCUMENTED = {
    "sglang:prompt_tokens_total": ("counter", "Number of prefill tokens processed."),
    "sglang:generation_tokens_total": ("counter", "Number of generation tokens processed."),
    "sglang:time_to_first_token_seconds": (
        "histogram",
        "Histogram of time to first token in seconds.",
    ),
    "sglang:e2e_request_latency_seconds": (
        "histogram",
        "Histogram of End-to-end request latency in seconds",
    ),
    "sglang:time_per_output_token_seconds": (
        "histogram",
        "Histogram of time per output token in seconds.",
    ),
    "sglang:func_latency_seconds": ("histogram", "Function latency in seconds"),
    "sglang:num_running_reqs": ("gauge", "The number of running requests"),
    "sglang:num_used_tokens": ("gauge", "The number of used tokens"),
    "sglang:gen_throughput": ("gauge", "The generate throughput (token/s)"),
    "sglang:num_queue_reqs": ("gauge", "The number of requests in the waiting queue"),
    "sglang:token_usage": ("gauge", "The token usage"),
    "sglang:cache_hit_rate": ("gauge", "The cache hit rate"),
}
BUCKETS = {
    "sglang:time_to_first_token_seconds": (
        "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 15.0 20.0 "
        "25.0 30.0 +Inf"
    ),
    "sglang:e2e_request_latency_seconds": (
        "0.3 0.5 0.8 1.0 1.5 2.0 2.5 5.0 10.0 15.0 20.0 30.0 40.0 50.0 60.0 +Inf"
    ),
    "sglang:time_per_output_token_seconds": (
        "0.005 0.01 0.015 0.02 0.025 0.03 0.04 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1.0 2.5 "
        "+Inf"
    ),
    "sglang:func_latency_seconds": (
        "0.05 0.07500000000000001 0.1125 0.16875 0.253125 0.3796875 0.56953125 0.8542968750000001 "
        "1.2814453125 1.9221679687500002 2.8832519531250003 4.3248779296875 6.487316894531251 "
        "9.730975341796876 14.596463012695313 21.89469451904297 32.84204177856446 "
        "49.26306266784668 +Inf"
    ),
}


def page(metrics: ServerMetrics) -> str:
    return metrics.render().decode()


def value(metrics: ServerMetrics, sample: str) -> float:
    """The value of one line of the page."""
    (found,) = re.findall(rf"^{re.escape(sample)} (.+)$", page(metrics), re.MULTILINE)
    return float(found)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_metrics_have_their_type_and_help_from_the_start(name: str) -> None:
    kind, help_ = DOCUMENTED[name]
    metrics = ServerMetrics("org/model")
    assert f"# HELP {name} {help_}\n# TYPE {name} {kind}\n" in page(metrics)


@pytest.mark.parametrize("name", BUCKETS)
def test_documented_buckets(name: str) -> None:
    metrics = ServerMetrics("m")
    metrics.function("generate_request", 0.3)
    assert re.findall(rf'^{name}_bucket{{.*?le="(.+?)"', page(metrics), re.MULTILINE) == (
        BUCKETS[name].split()
    )


def test_the_model_is_a_label() -> None:
    assert value(ServerMetrics("org/model"), 'sglang:token_usage{model_name="org/model"}') == 0


def test_a_function_is_a_label_beside_which_there_is_no_model() -> None:
    metrics = ServerMetrics("m")
    metrics.function("generate_request", 0.3)
    assert value(metrics, 'sglang:func_latency_seconds_sum{name="generate_request"}') == 0.3


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    metrics = ServerMetrics("m")
    metrics.waited(0.005)
    name = "sglang:queue_time_seconds_bucket"
    assert value(metrics, f'{name}{{le="0.001",model_name="m"}}') == 0
    assert value(metrics, f'{name}{{le="0.005",model_name="m"}}') == 1
    assert value(metrics, f'{name}{{le="+Inf",model_name="m"}}') == 1


def test_a_value_beyond_all_bounds_is_counted() -> None:
    metrics = ServerMetrics("m")
    metrics.waited(1e9)
    assert value(metrics, 'sglang:queue_time_seconds_bucket{le="300.0",model_name="m"}') == 0
    assert value(metrics, 'sglang:queue_time_seconds_count{model_name="m"}') == 1


def test_tokens_that_came_together_share_the_time() -> None:
    metrics = ServerMetrics("m")
    metrics.next_tokens(0.9, 3)
    name = "sglang:inter_token_latency_seconds"
    assert value(metrics, f'{name}_bucket{{le="0.2",model_name="m"}}') == 0
    assert value(metrics, f'{name}_bucket{{le="0.4",model_name="m"}}') == 3
    assert math.isclose(value(metrics, f'{name}_sum{{model_name="m"}}'), 0.9)


def test_an_engine_that_does_not_answer_leaves_its_numbers_as_they_were() -> None:
    metrics = ServerMetrics("m")
    metrics.engine({"num_running_reqs": 3, "retractions": 2})
    metrics.engine({})
    assert value(metrics, 'sglang:num_running_reqs{model_name="m"}') == 3
    assert value(metrics, 'sglang:num_retractions_total{model_name="m"}') == 2


def test_two_servers_of_one_process_count_apart() -> None:
    one, other = ServerMetrics("m"), ServerMetrics("m")
    one.generated(5)
    assert value(one, 'sglang:generation_tokens_total{model_name="m"}') == 5
    assert value(other, 'sglang:generation_tokens_total{model_name="m"}') == 0


def test_a_name_with_quotes_and_newlines_stays_on_its_line() -> None:
    metrics = ServerMetrics('a"b\nc')
    families = {f.name: f for f in text_string_to_metric_families(page(metrics))}
    assert families["sglang:token_usage"].samples[0].labels == {"model_name": 'a"b\nc'}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"sglang:[a-z0-9_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
