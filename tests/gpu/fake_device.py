"""A device in the host's memory that must be treated like a GPU: copies, graphs, a spare slot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sglang.srt.device import CpuDevice


class FakeGraph:
    """Replays by running again; its outputs stay where they were at first, as a GPU's do."""

    def __init__(self, run: Callable[[], torch.Tensor], output: torch.Tensor) -> None:
        self._run, self._output = run, output
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        self._output.copy_(self._run())


class FakeGpu(CpuDevice):
    name = "a fake GPU"
    has_graphs = True
    reads_host_memory = False

    def __init__(self) -> None:
        self.graphs: list[FakeGraph] = []

    def capture(self, run: Callable[[], Any]) -> tuple[FakeGraph, Any]:
        output = run()
        self.graphs.append(FakeGraph(run, output))
        return self.graphs[-1], output
