"""The rows of a check: what was found, beside what bounds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One fact. ``value`` None: not measured, and ``note`` says why."""

    section: str
    name: str
    value: float | None
    unit: str = ""
    limit: float | None = None
    """What the hardware allows at most, in the same unit."""
    target: float | None = None
    """What we want at least, in the same unit."""
    ok: bool | None = None
    """Of a check; None where there is nothing to pass."""
    note: str = ""

    def line(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:,.4g} {self.unit}"
        parts = [f"{self.name:<52}{value:>22}"]
        if self.value is not None and self.limit:
            parts.append(f"{100 * self.value / self.limit:5.1f} % of {self.limit:,.4g}")
        if self.target is not None:
            parts.append(f"target {self.target:,.4g}")
        if self.ok is not None:
            parts.append("ok" if self.ok else "FAILED")
        if self.note:
            parts.append(self.note)
        return "  ".join(parts)


@dataclass
class Report:
    """Prints rows as they come, and keeps them."""

    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        if not self.rows or self.rows[-1].section != row.section:
            print(f"\n## {row.section}")
        self.rows.append(row)
        print(row.line(), flush=True)

    def missing(self, section: str, name: str, why: str) -> None:
        self.add(Row(section, name, None, note=why))

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.ok is False]

    def write(self, path: Path) -> None:
        content = {"facts": self.facts, "rows": [asdict(row) for row in self.rows]}
        path.write_text(json.dumps(content, indent=2) + "\n")
