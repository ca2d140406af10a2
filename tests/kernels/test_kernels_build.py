"""Building, caching and choosing the kernels."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sglang.srt.kernels import select_kernels
from sglang.srt.kernels.cpu import build
from sglang.srt.kernels.cpu.build import KernelBuildError, load_library
from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.reference import ReferenceKernels


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SGLANG_KERNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of one function, so that a build takes no time."""
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / "answer.c").write_text(
        '__attribute__((visibility("default"))) int answer(void) { return 42; }\n'
    )
    monkeypatch.setattr(build, "SOURCES", sources)
    return sources


def test_name_tells_the_code_path(kernels: CpuKernels) -> None:
    assert kernels.name == f"cpu-c ({kernels.isa})"


def test_library_is_built_once(cache: Path, quick_sources: Path) -> None:
    assert load_library().answer() == 42
    [built] = cache.iterdir()
    before = built.stat().st_mtime_ns
    assert load_library().answer() == 42
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [before]


def test_changed_source_is_built_anew(cache: Path, quick_sources: Path) -> None:
    load_library()
    source = quick_sources / "answer.c"
    source.write_text(source.read_text().replace("42", "43"))
    assert load_library().answer() == 43
    assert len(list(cache.iterdir())) == 2


def test_two_processes_may_build_at_once(cache: Path, quick_sources: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sglang.srt.kernels.cpu import build; "
        "build.SOURCES = Path(sys.argv[1]); assert build.load_library().answer() == 42"
    )
    command = [sys.executable, "-c", program, str(quick_sources)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert [path.suffix for path in cache.iterdir()] == [".so"]


def test_unwritable_cache_directory_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_sources: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGLANG_KERNEL_CACHE", str(tmp_path / "file" / "below"))
    assert load_library().answer() == 42


def test_library_that_others_can_write_is_not_loaded(cache: Path, quick_sources: Path) -> None:
    load_library()
    [built] = cache.iterdir()
    built.chmod(0o666)
    with pytest.raises(KernelBuildError, match="writable by other users"):
        load_library()


def test_missing_compiler_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelBuildError, match="no-such-compiler"):
        load_library()


def test_compile_error_is_told(cache: Path, quick_sources: Path) -> None:
    (quick_sources / "answer.c").write_text("#error out of order\n")
    with pytest.raises(KernelBuildError, match="out of order"):
        load_library()
    assert list(cache.iterdir()) == []


OPENMP_RUNTIMES = """
import os
from pathlib import Path
import torch
from sglang.srt.kernels.cpu.build import load_library, openmp_library
load_library()
print(openmp_library())
lines = Path("/proc/self/maps").read_text().splitlines()
for path in {line.split(maxsplit=5)[-1] for line in lines}:
    if os.path.basename(path).startswith(("libgomp", "libomp", "libiomp")):
        print(path)
"""


def test_one_openmp_runtime_in_the_process() -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    command = [sys.executable, "-c", OPENMP_RUNTIMES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    ours, *loaded = done.stdout.splitlines()
    assert loaded == [ours]


def test_threads_are_those_of_torch(kernels: CpuKernels, many_threads: int) -> None:
    assert load_library(kernels.isa).parallel_threads() == many_threads


def test_without_a_compiler_one_warning_and_the_reference(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with caplog.at_level(logging.INFO):
        kernels = select_kernels("cpu", torch.float32)
    assert isinstance(kernels, ReferenceKernels)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "no-such-compiler" in record.getMessage()


def test_preferred_kernels_that_cannot_be_built_are_an_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelBuildError):
        select_kernels("cpu", torch.float32, prefer="cpu-c")


def test_reference_can_be_preferred() -> None:
    assert isinstance(select_kernels("cpu", torch.float32, prefer="reference"), ReferenceKernels)


def test_unknown_preference_is_refused() -> None:
    with pytest.raises(ValueError, match="cpu-c, triton, reference"):
        select_kernels("cpu", torch.float32, prefer="fast")


def test_reference_where_there_are_no_kernels(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert isinstance(select_kernels("cpu", torch.float16), ReferenceKernels)
    assert "using the torch reference" in caplog.text


def test_a_gpu_without_triton_gets_one_warning_and_the_reference(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sglang.srt.kernels.find_spec", lambda name: None)
    assert isinstance(select_kernels("cuda", torch.bfloat16), ReferenceKernels)
    [record] = caplog.records
    assert record.levelno == logging.WARNING and "triton is not installed" in record.getMessage()
    with pytest.raises(ValueError, match="need the package triton"):
        select_kernels("cuda", torch.bfloat16, prefer="triton")
