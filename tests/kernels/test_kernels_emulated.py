"""The kernels for instruction sets of other machines, compiled and emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sglang.srt.kernels.cpu.build import COMMON_FLAGS, SOURCES


@pytest.mark.parametrize("march", ["armv8-a", "armv8.2-a+dotprod"])
def test_arm(march: str, tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    sources = [str(path) for path in SOURCES.glob("*.c")]
    compiling = [compiler, *COMMON_FLAGS, f"-march={march}", f"-I{SOURCES}", "-O1"]
    subprocess.run([*compiling, "-c", *sources], check=True, cwd=tmp_path)
    objects = [str(path) for path in tmp_path.glob("*.o")]
    for check in ("quantized_check", "float_check"):
        source = str(Path(__file__).with_name(f"{check}.c"))
        program = str(tmp_path / check)
        link = [*compiling, "-static", source, *objects, "-o", program, "-lm"]
        subprocess.run(link, check=True)
        done = subprocess.run([emulator, program], capture_output=True, text=True, timeout=200)
        assert (check, done.returncode, done.stdout) == (check, 0, "")
