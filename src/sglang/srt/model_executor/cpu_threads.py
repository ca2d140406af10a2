"""How many threads to compute with."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path

import torch


def set_cpu_threads() -> None:
    """One compute thread a physical core, unless OMP_NUM_THREADS says otherwise.

    Twice as many threads as cores would share the same arithmetic units and memory bandwidth.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(count_cores(os.sched_getaffinity(0)))


def count_cores(
    cpus: Collection[int],
    *,
    topology: Path = Path("/sys/devices/system/cpu"),
    cgroup: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Physical cores among ``cpus``, but no more than the container's quota of CPU time allows."""
    cores = {_core(topology / f"cpu{cpu}" / "topology", cpu) for cpu in cpus}
    return max(1, math.ceil(min(len(cores), _quota(cgroup / "cpu.max"))))


def _core(folder: Path, cpu: int) -> tuple[str, str]:
    """What two hardware threads of one core have in common."""
    try:
        package = (folder / "physical_package_id").read_text()
        return package, (folder / "core_id").read_text()
    except OSError:
        return "", str(cpu)


def _quota(path: Path) -> float:
    """CPUs' worth of time that the cgroup may use; infinite without a limit."""
    try:
        limit, period = path.read_text().split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if limit == "max" else int(limit) / int(period)
