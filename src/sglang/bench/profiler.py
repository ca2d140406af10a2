"""Traces of what torch does, for Perfetto or chrome://tracing."""

from __future__ import annotations

import os
import time
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
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.trace.json.gz"
    with profile(activities=activities, with_stack=True) as profiler:
        yield path
    profiler.export_chrome_trace(str(path))
