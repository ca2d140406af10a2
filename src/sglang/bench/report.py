"""Results on the screen and in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sglang.bench.metrics import LATENCIES, PERCENTILES

_LATENCY_TITLES = {
    "e2e_latency": "E2E latency (ms)",
    "ttft": "TTFT (ms)",
    "tpot": "TPOT (ms)",
    "itl": "ITL (ms)",
}
_FIGURES = {
    "completed": "Successful requests",
    "failed": "Failed requests",
    "duration": "Benchmark duration (s)",
    "total_input_tokens": "Total input tokens",
    "total_cached_tokens": "  of them from the prefix cache",
    "total_output_tokens": "Total generated tokens",
    "request_throughput": "Request throughput (req/s)",
    "input_throughput": "Input token throughput (tok/s)",
    "output_throughput": "Output token throughput (tok/s)",
    "total_throughput": "Total token throughput (tok/s)",
    "concurrency": "Concurrency",
}


def figures(title: str, settings: Mapping[str, object], metrics: Mapping[str, float]) -> str:
    """A block of settings, counts and rates, then a table of latencies."""
    lines = [f" {title} ".center(64, "=")]
    lines += [f"{name + ':':40} {value}" for name, value in settings.items()]
    for name, label in _FIGURES.items():
        if name in metrics:
            lines.append(f"{label + ':':40} {_number(metrics[name])}")
    measured = [name for name in LATENCIES if f"mean_{name}_ms" in metrics]
    if measured:
        columns = ("mean", "median", *(f"p{percent}" for percent in PERCENTILES))
        lines.append(f"{'':18}" + "".join(f"{column:>9}" for column in columns))
        for name in measured:
            values = (metrics[f"{column}_{name}_ms"] for column in columns)
            cells = "".join(f"{value:9.2f}" for value in values)
            lines.append(f"{_LATENCY_TITLES[name]:18}{cells}")
    lines.append("=" * 64)
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def append_jsonl(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add one line to a file of results."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}"
