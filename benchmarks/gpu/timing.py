"""Time on a device, and what it can do at most."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable

import torch

REPEATS = 10


def seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of ``run`` on the GPU after three runs to warm up."""
    for _ in range(3):
        run()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def copy_bandwidth() -> float:
    """Bytes read and written in a second by a copy of 2 GiB."""
    source = torch.empty(1 << 31, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source))


def matmul_rate(size: int = 8192) -> float:
    """Operations a second of a product of random bfloat16 matrices."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b)


def clocks() -> str:
    """Clock state as nvidia-smi tells it, or why not."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not there"
    fields = "clocks.sm,clocks.mem,power.draw,temperature.gpu,driver_version"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {error}"
    return f"{fields}: {found.stdout.strip()}"


class Budget:
    """Seconds that may pass in all."""

    def __init__(self, allowed: float) -> None:
        self._end = time.monotonic() + allowed

    @property
    def left(self) -> float:
        return self._end - time.monotonic()
