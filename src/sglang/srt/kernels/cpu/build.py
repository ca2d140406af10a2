"""Compile the C kernels once and load them.

The shared object lies in a cache directory under a name that is a hash of everything that decides
its contents: sources, flags, the compiler's version and the CPU's features. It is linked to the
OpenMP runtime that torch has already loaded, so that both use one pool of threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

SOURCES = Path(__file__).parent / "csrc"
COMMON_FLAGS = (
    "-O3",
    "-std=gnu11",
    "-fPIC",
    "-fvisibility=hidden",
    # The compiler may not fuse a multiply and an add in one place and not in another: results
    # must not depend on how a loop was unrolled.
    "-ffp-contract=off",
    "-fno-math-errno",
    "-pthread",
)
_X86 = "-march=x86-64"
_VNNI_VBMI = ("-mavx512vnni", "-mavx512vbmi")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
ISA_FLAGS: dict[str, tuple[str, ...]] = {
    "native": ("-march=native",),
    "avx512_bf16": (_X86, "-mavx2", "-mfma", *_AVX512, "-mavx512bf16", *_VNNI_VBMI),
    "avx512": (_X86, "-mavx2", "-mfma", *_AVX512),
    "avx2_vnni": (_X86, "-mavx2", "-mfma", "-mavxvnni"),
    "avx2": (_X86, "-mavx2", "-mfma"),
    "portable": (_X86,) if platform.machine() in ("x86_64", "AMD64") else (),
}
COMPILE_TIMEOUT_S = 300


class KernelBuildError(RuntimeError):
    """The kernels cannot be compiled or loaded here; the message is one line saying why."""


def load_library(isa: str = "native") -> ctypes.CDLL:
    """The compiled kernels for ``isa`` (a key of ``ISA_FLAGS``), built if not in the cache.

    Raises KernelBuildError.
    """
    if isa not in ISA_FLAGS:
        raise ValueError(f"isa is {isa!r}; known: {', '.join(ISA_FLAGS)}")
    compiler = _compiler()
    flags = (*COMMON_FLAGS, *ISA_FLAGS[isa])
    openmp = openmp_library()
    name = f"kernels-{isa}-{_build_key(compiler, flags, openmp)}.so"
    with _cache_directory() as directory:
        path = directory / name
        if not path.exists():
            _compile(compiler, flags, openmp, path)
        _check_owner(path)
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            raise KernelBuildError(f"cannot load {path}: {error}") from error


def openmp_library() -> Path:
    """The OpenMP runtime that this process has loaded with torch.

    Raises KernelBuildError when there is none (a torch built without OpenMP).
    """
    torch_root = Path(torch.__file__).parent
    pattern = re.compile(r"lib(gomp|omp|iomp5)\b.*\.(so|dylib)\b.*")
    maps = Path("/proc/self/maps")
    if maps.exists():
        mapped = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()}
        loaded = [Path(name) for name in mapped if pattern.fullmatch(Path(name).name)]
    else:
        loaded = [p for p in (torch_root / "lib").glob("lib*") if pattern.fullmatch(p.name)]
    # Another package may have brought a runtime of its own: torch's comes first.
    loaded.sort(key=lambda path: (torch_root.parent not in path.parents, str(path)))
    for path in loaded:
        if path.exists():
            return path
    raise KernelBuildError("torch has loaded no OpenMP runtime to share")


def _compiler() -> list[str]:
    chosen = os.environ.get("CC")
    if chosen:
        command = shlex.split(chosen)
        if command and shutil.which(command[0]):
            return command
        raise KernelBuildError(f"the compiler $CC={chosen!r} was not found")
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise KernelBuildError("no C compiler was found (cc, gcc or clang; set $CC)")


def _build_key(compiler: list[str], flags: tuple[str, ...], openmp: Path) -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    facts = (*compiler, _output([*compiler, "--version"]), *flags, openmp.name, _cpu_features())
    digest.update("\0".join(facts).encode())
    return digest.hexdigest()[:20]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelBuildError(f"{shlex.join(command)} failed: {error}") from error
    return done.stdout


def _cpu_features() -> str:
    """What ``-march=native`` depends on, as far as the system tells."""
    facts = [platform.machine(), platform.system(), sys.byteorder]
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
        lines = cpuinfo.read_text(errors="replace").splitlines()
        facts += sorted({line for line in lines if line.split("\t")[0].strip() in wanted})
    return "\n".join(facts)


@contextlib.contextmanager
def _cache_directory() -> Iterator[Path]:
    """The cache directory; a temporary one where it cannot be written."""
    override = os.environ.get("SGLANG_KERNEL_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    directory = Path(override or os.path.join(base, "sglang", "kernels")).expanduser()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK)
    except OSError:
        writable = False
    if writable:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="sglang-kernels-") as temporary:
        yield Path(temporary)


def _compile(compiler: list[str], flags: tuple[str, ...], openmp: Path, path: Path) -> None:
    """Compile every source (side by side), link, and put the result at ``path`` in one move."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as work:
        sources = sorted(SOURCES.glob("*.c"))
        objects = [str(Path(work) / f"{source.stem}.o") for source in sources]
        running = [
            _start([*compiler, *flags, "-c", str(source), "-o", target])
            for source, target in zip(sources, objects, strict=True)
        ]
        for command, process in running:
            _finish(command, process)
        built = str(Path(work) / path.name)
        _finish(*_start([*compiler, "-shared", "-o", built, *objects, str(openmp), "-lm"]))
        os.replace(built, path)


def _start(command: list[str]) -> tuple[list[str], subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise KernelBuildError(f"cannot run {command[0]}: {error}") from error
    return command, process


def _finish(command: list[str], process: subprocess.Popen[str]) -> None:
    try:
        output, _ = process.communicate(timeout=COMPILE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise KernelBuildError(f"{command[0]} ran past {COMPILE_TIMEOUT_S} s") from error
    if process.returncode != 0:
        lines = output.strip().splitlines()
        reason = next((line for line in lines if "error" in line), lines[-1] if lines else "")
        raise KernelBuildError(f"{shlex.join(command)} failed: {reason}")


def _check_owner(path: Path) -> None:
    """Refuse to load code that another user could have put or changed there."""
    info = path.stat()
    if info.st_uid not in (0, os.geteuid()):
        raise KernelBuildError(f"{path} belongs to another user (uid {info.st_uid})")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KernelBuildError(f"{path} is writable by other users")
