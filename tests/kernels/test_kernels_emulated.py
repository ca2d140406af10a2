"""The quantized products for instruction sets of other machines, compiled and emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sglang.srt.kernels.cpu.build import COMMON_FLAGS, SOURCES

CHECK = Path(__file__).with_name("quantized_check.c")
UNDER_TEST = ("parallel", "quantize_*", "linear_quantized_pack", "linear_int8", "linear_int4")


@pytest.mark.parametrize("march", ["armv8-a", "armv8.2-a+dotprod"])
def test_arm(march: str, tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    sources = [str(path) for name in UNDER_TEST for path in SOURCES.glob(f"{name}.c")]
    program = str(tmp_path / "check")
    command = [compiler, *COMMON_FLAGS, f"-march={march}", f"-I{SOURCES}", *sources, str(CHECK)]
    subprocess.run([*command, "-O1", "-static", "-o", program, "-lm"], check=True)
    done = subprocess.run([emulator, program], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout) == (0, "")
