"""Traces of what torch does, for Perfetto or chrome://tracing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY_VARIABLE = "SGLANG_TORCH_PROFILER_DIR"


def trace_directory() -> Path:
    """Where traces go.

    Raises:
        ValueError: the environment does not say it.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        raise ValueError(f"--profile writes a trace: set {DIRECTORY_VARIABLE} to a folder for it")
    return Path(directory)


@contextmanager
def torch_trace(directory: Path, name: str) -> Iterator[Path]:
    """Record what happens inside the context; gives the file it will be written to."""
    from sglang.srt.managers.profiling import Trace

    trace = Trace(directory, name)
    try:
        yield trace.path
    finally:
        trace.stop()
