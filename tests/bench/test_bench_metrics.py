"""Figures of merit, computed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sglang.bench.answers import Answer
from sglang.bench.metrics import serving_metrics, summary
from sglang.bench.report import figures


def answer(*arrivals: tuple[float, int], start: float, end: float, **more: Any) -> Answer:
    return Answer(start=start, end=end, chunks=list(arrivals), **more)


FIRST = answer((1.0, 1), (1.5, 1), (2.5, 2), start=0.0, end=3.0)
SECOND = answer((3.0, 1), (4.0, 1), start=1.0, end=4.0, prompt_tokens=12, completion_tokens=3)
FAILED = Answer(start=0.0, end=9.0, error="HTTP status 500")


def test_ttft_counts_from_sending() -> None:
    assert (FIRST.ttft, SECOND.ttft) == (1.0, 2.0)


def test_tokens_of_one_chunk_share_the_gap_before_it() -> None:
    assert FIRST.itls == [0.5, 0.5, 0.5]


def test_tpot_is_the_mean_time_a_token_after_the_first() -> None:
    assert FIRST.tpot == pytest.approx(1.5 / 3)
    assert SECOND.tpot == pytest.approx(1.0 / 2)  # the server counts one token more


def test_whole_answers_have_their_latency_as_ttft_and_no_tpot() -> None:
    whole = answer((4.0, 8), start=1.0, end=4.0)
    assert (whole.ttft, whole.tpot, whole.itls) == (3.0, None, [])


def test_totals_and_rates() -> None:
    metrics = serving_metrics([FIRST, SECOND, FAILED], [10, 11, 99], duration=4.0)
    assert (metrics["completed"], metrics["failed"]) == (2, 1)
    assert metrics["total_input_tokens"] == 10 + 12  # the server's count where there is one
    assert metrics["total_output_tokens"] == 4 + 3
    assert metrics["request_throughput"] == 0.5
    assert metrics["output_throughput"] == 7 / 4
    assert metrics["total_throughput"] == 29 / 4


def test_cached_tokens_only_where_a_server_tells_them() -> None:
    assert "total_cached_tokens" not in serving_metrics([FIRST, SECOND], [10, 11], duration=4.0)
    known = answer((1.0, 1), start=0.0, end=1.0, cached_tokens=7)
    assert serving_metrics([FIRST, known], [10, 11], duration=4.0)["total_cached_tokens"] == 7


def test_concurrency_is_the_mean_number_under_way() -> None:
    metrics = serving_metrics([FIRST, SECOND], [10, 11], duration=4.0)
    assert metrics["concurrency"] == (3.0 + 3.0) / 4.0


def test_latencies_are_in_milliseconds() -> None:
    metrics = serving_metrics([FIRST, SECOND, FAILED], [10, 11, 99], duration=4.0)
    assert metrics["mean_ttft_ms"] == 1500
    assert metrics["median_e2e_latency_ms"] == 3000


def test_percentiles_are_interpolated() -> None:
    found = summary("x", [i / 1000 for i in range(101)])
    assert found["median_x_ms"] == pytest.approx(50)
    assert found["p90_x_ms"] == pytest.approx(90)
    assert found["p95_x_ms"] == pytest.approx(95)
    assert found["p99_x_ms"] == pytest.approx(99)
    assert summary("x", [0.0, 0.001])["p90_x_ms"] == pytest.approx(0.9)


def test_nothing_measured_gives_no_figure() -> None:
    metrics = serving_metrics([FAILED], [10], duration=9.0)
    assert metrics["completed"] == 0
    assert not [name for name in metrics if name.endswith("_ms")]


def test_the_report_shows_rates_and_latencies() -> None:
    metrics = serving_metrics([FIRST, SECOND], [10, 11], duration=4.0)
    lines = figures("Title", {"Backend": "sglang"}, metrics).splitlines()
    assert any(
        line.split() == ["Output", "token", "throughput", "(tok/s):", "1.75"] for line in lines
    )
    assert any(line.startswith("TTFT (ms)") and "1500.00" in line for line in lines)
