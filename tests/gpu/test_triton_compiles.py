"""The kernels compile for a GPU, without one: what the interpreter lets pass is found here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

ROOT = Path(__file__).parents[2]


def compiled(tmp_path: Path, *, capability: int, everything: bool) -> list[str]:
    """Names of the kernels as ``compile_for_gpu`` reports them."""
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    script = Path(__file__).with_name("compile_for_gpu.py")
    result = subprocess.run(
        [sys.executable, str(script), str(capability), "all" if everything else "some"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [line.split()[0] for line in result.stdout.splitlines()]


def test_for_hopper(tmp_path: Path) -> None:
    names = compiled(tmp_path, capability=90, everything=False)
    assert {"attend_tile", "join_parts", "_rope_and_write", "_norm", "_multiply"} <= set(names)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_all_shapes(tmp_path: Path, capability: int) -> None:
    assert len(compiled(tmp_path, capability=capability, everything=True)) > 40
