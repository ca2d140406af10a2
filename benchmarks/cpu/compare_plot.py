"""The lines of compare.py as bars: a column for each model, a panel for each figure.

Needs matplotlib (``pip install matplotlib``).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare_table import COLUMNS, Column, Record, values_of

OURS, PEER, SPREAD = "#2f6fde", "#b4bac4", "#333333"
PANEL_WIDTH, BAR_HEIGHT, MARGIN = 4.0, 0.24, 0.7
"""Inches."""


def plot(records: Sequence[Record], path: Path) -> None:
    """Write the picture; its kind (svg, png, pdf) follows from the name.

    A bar is the median over everything, the line on it reaches from the lowest to the highest
    median of a round.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    models = list(dict.fromkeys(record["model"] for record in records))
    columns = [column for column in COLUMNS if any(values_of(records, column))]
    servers = list(dict.fromkeys(record["server"] for record in records))
    height = len(columns) * (len(servers) * BAR_HEIGHT + MARGIN)
    figure, panels = plt.subplots(
        len(columns), len(models), figsize=(len(models) * PANEL_WIDTH, height), squeeze=False
    )
    for place, model in enumerate(models):
        own = [record for record in records if record["model"] == model]
        for row, column in zip(panels, columns, strict=True):
            _bars(row[place], own, column, model)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _bars(panel: Any, records: Sequence[Record], column: Column, model: str) -> None:
    servers = [
        server
        for server in dict.fromkeys(record["server"] for record in records)
        if any(values_of((r for r in records if r["server"] == server), column))
    ]
    if not servers:
        panel.set_axis_off()
        return
    for place, server in enumerate(servers):
        own = [record for record in records if record["server"] == server]
        middle = statistics.median(values_of(own, column))
        rounds = _round_medians(own, column)
        color = OURS if own[0]["is_ours"] else PEER
        panel.barh(place, middle, color=color, height=0.7)
        if len(rounds) > 1:
            panel.plot([min(rounds), max(rounds)], [place, place], color=SPREAD, linewidth=1)
        panel.annotate(f" {middle:.{column.decimals}f}", (middle, place), va="center", fontsize=7)
    panel.set_yticks(range(len(servers)), servers, fontsize=7)
    panel.invert_yaxis()
    panel.margins(x=0.25)
    panel.tick_params(axis="x", labelsize=6)
    better = "more" if column.larger_is_better else "less"
    panel.set_title(f"{model}: {column.title}, {better} is better", fontsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _round_medians(records: Sequence[Record], column: Column) -> list[float]:
    numbers = sorted({record["round"] for record in records})
    found = [list(values_of((r for r in records if r["round"] == n), column)) for n in numbers]
    return [statistics.median(values) for values in found if values]
