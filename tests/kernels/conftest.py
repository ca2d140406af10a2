"""The kernels under test: one instance per code path that this CPU can run."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sglang.srt.kernels.cpu.build import ISA_FLAGS
from sglang.srt.kernels.cpu.kernels import CpuKernels

NEEDED_FEATURES = {
    "avx512_bf16": {
        "avx512_bf16",
        "avx512_vnni",
        "avx512vbmi",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512dq",
    },
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
    "avx2_vnni": {"avx2", "fma", "avx_vnni"},
    "avx2": {"avx2", "fma"},
    "portable": set(),
}
AVX512_VNNI = {"avx2", "fma", "avx512_vnni", "avx512f", "avx512vl"}
AVX_VNNI_BY_AVX512 = (
    *("-march=x86-64", "-mavx2", "-mfma"),
    *("-mavx512vl", "-mavx512vnni", "-mprefer-vector-width=256"),
    *("-include", str(Path(__file__).with_name("vnni_by_avx512.h"))),
)


def cpu_features() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return set()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


@functools.cache
def kernels_for(isa: str) -> CpuKernels:
    return CpuKernels(isa)


@pytest.fixture(params=[isa for isa in ISA_FLAGS if isa != "native"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CpuKernels:
    missing = NEEDED_FEATURES[request.param] - cpu_features()
    if missing == {"avx_vnni"} and cpu_features() >= AVX512_VNNI:
        monkeypatch.setitem(ISA_FLAGS, request.param, AVX_VNNI_BY_AVX512)
    elif missing:
        pytest.skip(f"this CPU lacks {', '.join(sorted(missing))}")
    if not os.environ.get("CC") and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    return kernels_for(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small cases run faster on one thread; ``many_threads`` asks for a team."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def many_threads(one_thread: None) -> int:
    torch.set_num_threads(3)
    return 3
