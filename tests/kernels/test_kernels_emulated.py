"""The quantised products for instruction sets of other machines, compiled and emulated."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sglang.srt.kernels.cpu.build import COMMON_FLAGS, SOURCES
from tests.kernels.conftest import cpu_features

CHECK = Path(__file__).with_name("quantised_check.c")
UNDER_TEST = ("parallel", "quantise_*", "linear_quantised_pack", "linear_int8", "linear_int4")

AVX_VNNI = [
    *("-march=x86-64", "-mavx2", "-mfma"),
    # The same instruction in the encoding of AVX-512, for machines without AVX-VNNI.
    *("-mavx512vl", "-mavx512vnni"),
    *("-D__AVXVNNI__=1", "-D_mm256_dpbusd_avx_epi32=_mm256_dpbusd_epi32"),
]


def check(compiler: str, flags: list[str], emulator: list[str], folder: Path) -> None:
    sources = [str(path) for name in UNDER_TEST for path in SOURCES.glob(f"{name}.c")]
    program = str(folder / "check")
    command = [compiler, *COMMON_FLAGS, *flags, f"-I{SOURCES}", *sources, str(CHECK)]
    subprocess.run([*command, "-O1", "-static", "-o", program, "-lm"], check=True)
    done = subprocess.run([*emulator, program], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("march", ["armv8-a", "armv8.2-a+dotprod"])
def test_arm(march: str, tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
    check(compiler, [f"-march={march}"], [emulator], tmp_path)


def test_vnni_of_256_bits(tmp_path: Path) -> None:
    if missing := {"avx512_vnni", "avx512vl", "fma"} - cpu_features():
        pytest.skip(f"this CPU lacks {', '.join(sorted(missing))}")
    compiler = shutil.which("gcc")
    if not compiler:
        pytest.skip("needs gcc")
    check(compiler, AVX_VNNI, [], tmp_path)
