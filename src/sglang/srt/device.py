"""What a device is to the runtime: its name, its memory, its graphs.

Everything that depends on the kind of device, other than its kernels, is behind ``Device``: a
new kind is a class here and a choice in ``srt/kernels/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes."""

    free: int
    total: int


class Graph(Protocol):
    """Work that was recorded once on a device and can be started again by one call."""

    def replay(self) -> None:
        """Do it all again with what is in its inputs now, writing the same outputs."""
        ...


class Device(Protocol):
    """One device. ``choose_device`` makes it."""

    torch_device: torch.device
    name: str
    capability: tuple[int, int] | None
    """CUDA compute capability, where there is such a thing."""
    shared_memory: int
    """Bytes that one block of a GPU's threads can share; 0: it has none."""
    has_graphs: bool
    reads_host_memory: bool
    """Whether kernels can work on the host's arrays where they are."""

    def memory(self) -> Memory:
        """What can be taken now without swapping, and what there is."""
        ...

    def synchronize(self) -> None:
        """Wait until all work is done that was started before."""
        ...

    def staging(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        """Uninitialised memory of the host from which copies to the device are fastest."""
        ...

    def capture(self, run: Callable[[], T]) -> tuple[Graph, T]:
        """Record what ``run`` starts on the device; what it returned holds the graph's outputs.

        ``run`` must have run before. All graphs share their scratch memory: outputs of one are
        valid until the next is replayed. Only where ``has_graphs``.
        """
        ...


class CpuDevice:
    """The host itself."""

    torch_device = torch.device("cpu")
    name = "cpu"
    capability: tuple[int, int] | None = None
    shared_memory = 0
    has_graphs = False
    reads_host_memory = True

    def memory(self) -> Memory:
        """Respects the container's limit."""
        info = _meminfo()
        free, total = info["MemAvailable"], info["MemTotal"]
        limit = _read_int("/sys/fs/cgroup/memory.max")
        used = _read_int("/sys/fs/cgroup/memory.current")
        if limit is not None and used is not None:
            free, total = min(free, limit - used), min(total, limit)
        return Memory(max(free, 0), total)

    def synchronize(self) -> None:
        """Nothing is ever under way."""

    def staging(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(count, dtype=dtype)

    def capture(self, run: Callable[[], T]) -> tuple[Graph, T]:
        raise NotImplementedError("a CPU has no graphs")


class CudaDevice:
    """What torch calls cuda: an NVIDIA GPU, or an AMD one under ROCm."""

    has_graphs = True
    reads_host_memory = False

    def __init__(self, index: int = 0) -> None:
        self.torch_device = torch.device("cuda", index)
        properties = torch.cuda.get_device_properties(self.torch_device)
        self.name: str = properties.name
        self.capability: tuple[int, int] | None = (properties.major, properties.minor)
        # What a program gets that asks for it; ROCm knows no difference.
        self.shared_memory: int = getattr(
            properties, "shared_memory_per_block_optin", properties.shared_memory_per_block
        )
        self._graph_memory: Any = None

    def memory(self) -> Memory:
        return Memory(*torch.cuda.mem_get_info(self.torch_device))

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.torch_device)

    def staging(self, count: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(count, dtype=dtype, pin_memory=True)

    def capture(self, run: Callable[[], T]) -> tuple[Graph, T]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._graph_memory):
            outputs = run()
        self._graph_memory = graph.pool()
        return graph, outputs


def choose_device(name: str) -> Device:
    """The device that ``--device`` means; ``auto`` is the GPU where there is one.

    Raises:
        ValueError: cuda is wanted and not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return CpuDevice()
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device is available; use --device cpu")
    return CudaDevice()


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines if len(fields) == 3}


def _read_int(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
