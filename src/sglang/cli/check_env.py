"""``sglang check-env``: what a bug report needs to know about a machine."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sglang import __version__

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "numpy",
    "fastapi",
    "uvicorn",
    "pydantic",
    "msgspec",
    "triton",
    "openai",
)
_X86 = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16")
_ARM = ("asimd", "asimddp", "bf16", "i8mm", "sve")
_PAGE_COUNTS = ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES")


def main(argv: Sequence[str], prog: str = "sglang check-env") -> int:
    """Print one fact a line."""
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(list(argv))
    for name, value in _facts():
        print(f"{name + ':':18} {value}")
    return 0


def _facts() -> Iterator[tuple[str, str]]:
    yield "sglang", __version__
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.platform()}"
    model, isa = _processor()
    yield "processor", model
    yield "instruction sets", isa or "none of interest"
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{usable} usable of {os.cpu_count()}"
    yield "memory", _memory()
    yield "C compiler", _first_line(shutil.which("cc") or shutil.which("gcc"), "--version")
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    yield "GPUs", _first_line(shutil.which("nvidia-smi"), *query, lines=None)
    for package in _PACKAGES:
        yield package, _version(package)
    yield "torch sees", _torch_devices()


def _processor() -> tuple[str, str]:
    """Name and notable instruction sets."""
    facts: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    name = facts.get("model name") or platform.machine()
    return name, " ".join(flag for flag in (*_X86, *_ARM) if flag in flags)


def _memory() -> str:
    gib = [os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") / 2**30 for name in _PAGE_COUNTS]
    return f"{gib[0]:.1f} GiB, {gib[1]:.1f} GiB free"


def _first_line(program: str | None, *arguments: str, lines: int | None = 1) -> str:
    """The first ``lines`` lines that a program prints, joined; None: all of them."""
    if program is None:
        return "none found"
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{program} failed: {error}"
    return "; ".join(done.stdout.strip().splitlines()[:lines]) or "none found"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _torch_devices() -> str:
    try:
        import torch
    except ImportError:
        return "-"
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cpu ({torch.get_num_threads()} threads), {gpus} CUDA device(s)"
