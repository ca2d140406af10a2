"""The table of metrics in ``docs/operations.md``, written from the catalog.

``python -m sglang.srt.metrics.documentation docs/operations.md`` renews it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sglang.srt.metrics.catalog import METRICS, Metric

BEGIN = "<!-- metrics: written by python -m sglang.srt.metrics.documentation -->\n"
END = "<!-- end of metrics -->\n"


def table() -> str:
    """Every metric in Markdown."""
    rows = "".join(_row(metric) for metric in METRICS)
    return f"| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}"


def renewed(page: str) -> str:
    """``page`` with the table between its two marks as it should be."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help.rstrip('.')} |\n"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
