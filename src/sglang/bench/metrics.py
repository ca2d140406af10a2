"""Figures of merit of a run, under the names that serving benchmarks use.

TTFT: time to first token; TPOT: mean time per output token after the first, of one request; ITL:
time between two tokens; E2E: from sending a request to the end of its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sglang.bench.answers import Answer

PERCENTILES = (90, 95, 99)
LATENCIES = ("e2e_latency", "ttft", "tpot", "itl")


def serving_metrics(
    answers: Sequence[Answer], input_lens: Sequence[int], duration: float
) -> dict[str, float]:
    """What a run of ``duration`` seconds achieved.

    ``input_lens`` are the tokens of the prompts, used where the server does not count them.
    Requests that failed count in ``failed`` only. Latencies are in milliseconds and there only if
    there is something to measure.
    """
    pairs = [pair for pair in zip(answers, input_lens, strict=True) if not pair[0].error]
    good = [answer for answer, _ in pairs]
    total_input = sum(length if a.prompt_tokens is None else a.prompt_tokens for a, length in pairs)
    total_output = sum(answer.output_len for answer in good)
    metrics: dict[str, float] = {
        "completed": len(good),
        "failed": len(answers) - len(good),
        "duration": duration,
        "total_input_tokens": total_input,
        "total_output_tokens": total_output,
        **throughput(len(good), total_input, total_output, duration),
        "concurrency": sum(answer.latency for answer in good) / duration,
    }
    cached = [answer.cached_tokens for answer in good if answer.cached_tokens is not None]
    if cached:
        metrics["total_cached_tokens"] = sum(cached)
    values = {
        "e2e_latency": [answer.latency for answer in good],
        "ttft": [answer.ttft for answer in good if answer.ttft is not None],
        "tpot": [answer.tpot for answer in good if answer.tpot is not None],
        "itl": [gap for answer in good for gap in answer.itls],
    }
    for name in LATENCIES:
        metrics.update(summary(name, values[name]))
    return metrics


def throughput(
    requests: int, input_tokens: int, output_tokens: int, duration: float
) -> dict[str, float]:
    """Rates a second."""
    return {
        "request_throughput": requests / duration,
        "input_throughput": input_tokens / duration,
        "output_throughput": output_tokens / duration,
        "total_throughput": (input_tokens + output_tokens) / duration,
    }


def summary(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Mean, median, standard deviation and percentiles, in milliseconds; {} of nothing.

    Percentiles are interpolated linearly between the two nearest values.
    """
    if not seconds:
        return {}
    ms = np.asarray(seconds) * 1e3
    found = {
        f"mean_{name}_ms": float(ms.mean()),
        f"median_{name}_ms": float(np.median(ms)),
        f"std_{name}_ms": float(ms.std()),
    }
    for percent in PERCENTILES:
        found[f"p{percent}_{name}_ms"] = float(np.percentile(ms, percent))
    return found
