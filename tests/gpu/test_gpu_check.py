"""The command that checks and measures a GPU walks through on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

CHECK = Path(__file__).parents[2] / "benchmarks" / "gpu" / "check.py"
if not CHECK.exists():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, str(CHECK), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )


def test_dry_run(tmp_path: Path) -> None:
    result = run("--dry-run", "--json", str(tmp_path / "found.json"))
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert len(rows) > 30 and all(row["ok"] for row in rows)


def test_what_the_budget_does_not_reach_is_listed(tmp_path: Path) -> None:
    result = run("--dry-run", "--budget", "0", "--only", "kernels", "--json", str(tmp_path / "f"))
    assert result.returncode == 0, result.stderr[-2000:]
    rows = json.loads((tmp_path / "f").read_text())["rows"]
    assert rows and all(row["value"] is None and row["note"] == "time was up" for row in rows)


def test_an_unknown_part_is_refused() -> None:
    result = run("--only", "kernel")
    assert result.returncode == 2 and "there is no part 'kernel'" in result.stderr
