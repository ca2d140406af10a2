"""From the lines of compare.py to tables: medians, and ratios to the best peer with spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads import WORKLOADS

from sglang.bench.report import markdown

Record = dict[str, Any]

SERVER = "server"
"""The "workload" of lines that tell start-up time and memory."""


@dataclass(frozen=True)
class Column:
    """A figure to compare."""

    title: str
    workload: str
    figure: str
    larger_is_better: bool
    decimals: int


COLUMNS = (
    *(
        Column(f"{w.title} ({w.unit})", name, w.figure, w.larger_is_better, 1 + (w.unit == "s"))
        for name, w in WORKLOADS.items()
    ),
    Column("ready (s)", SERVER, "start_s", False, 2),
    Column("memory (MB)", SERVER, "peak_memory_mb", False, 0),
)


def read_records(path: Path) -> list[Record]:
    """All lines of a file of results."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def tables(records: Sequence[Record]) -> str:
    """For each model a table of medians and one of ratios, in Markdown."""
    parts = []
    for model in dict.fromkeys(record["model"] for record in records):
        own = [record for record in records if record["model"] == model]
        parts += [f"### {model}", _medians(own), _ratios(own)]
    return "\n\n".join(part for part in parts if part)


def _medians(records: Sequence[Record]) -> str:
    servers = list(dict.fromkeys(record["server"] for record in records))
    columns = [column for column in COLUMNS if any(values_of(records, column))]
    rows = []
    for server in servers:
        own = [record for record in records if record["server"] == server]
        cells = []
        for column in columns:
            values = list(values_of(own, column))
            cells.append(f"{statistics.median(values):.{column.decimals}f}" if values else "-")
        rows.append([server, *cells])
    return markdown(["server", *(column.title for column in columns)], rows)


def _ratios(records: Sequence[Record]) -> str:
    """Ours against the best peer with the same kind of weights, workload by workload."""
    rows = []
    for ours in _servers(records, is_ours=True):
        weights = next(r["weights"] for r in records if r["server"] == ours)
        same = [record for record in records if record["weights"] == weights]
        peers = _servers(same, is_ours=False)
        for column in COLUMNS:
            compared = best_ratio(same, column, ours, peers)
            if compared is not None:
                best, ratios = compared
                spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else "-"
                middle = f"{statistics.median(ratios):.2f}"
                rows.append([ours, column.title, best, middle, spread, str(len(ratios))])
    if not rows:
        return ""
    return markdown(["ours", "figure", "best peer", "ratio", "lowest-highest", "rounds"], rows)


def best_ratio(
    records: Sequence[Record], column: Column, ours: str, peers: Sequence[str]
) -> tuple[str, list[float]] | None:
    """The best peer by its median, and how many times better we are in each round.

    More than 1 is better, also where less of the figure is. Within a round the medians of the
    repeats are compared: the servers of a round have run one after another, so what changes slowly
    on a machine is out. None if either side has no figure.
    """
    medians = {}
    for peer in peers:
        values = list(values_of((r for r in records if r["server"] == peer), column))
        if values:
            medians[peer] = statistics.median(values)
    if not medians:
        return None
    choose = max if column.larger_is_better else min
    best = choose(medians, key=lambda peer: medians[peer])
    ratios = []
    for number in sorted({record["round"] for record in records}):
        pair = []
        for server in (ours, best):
            of_round = (r for r in records if r["server"] == server and r["round"] == number)
            values = list(values_of(of_round, column))
            if values:
                pair.append(statistics.median(values))
        if len(pair) == 2:
            ratios.append(pair[0] / pair[1] if column.larger_is_better else pair[1] / pair[0])
    return (best, ratios) if ratios else None


def _servers(records: Sequence[Record], *, is_ours: bool) -> list[str]:
    return list(dict.fromkeys(r["server"] for r in records if r["is_ours"] == is_ours))


def values_of(records: Iterable[Record], column: Column) -> Iterable[float]:
    """The figure in all records that have it; runs with errors do not count."""
    for record in records:
        if record["workload"] == column.workload and not record.get("errors"):
            value = record.get(column.figure)
            if value is not None:
                yield value
