"""The feed-forward part of a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from sglang.srt.kernels.interface import Activation, Kernels
from sglang.srt.layers.linear import Linear


@dataclass(frozen=True, slots=True)
class MLP:
    """down(act(up(x))); in a gated one ``up`` gives the gate and what it is multiplied with."""

    up: Linear
    act: Callable[[torch.Tensor], torch.Tensor]
    down: Linear

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, H] -> [T, H]."""
        return self.down(self.act(self.up(x)))


def activation(
    kernels: Kernels, kind: Activation, *, gated: bool, limit: float = 0.0
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The operation between the matrices; ``limit`` is that of a clamped one.

    Raises ValueError where there is none.
    """
    if kind in ("silu", "clamped_swiglu") and not gated:
        raise ValueError(f"there is no {kind} without a gate")
    if kind == "silu":
        return kernels.silu_and_mul
    if kind == "clamped_swiglu":
        return partial(kernels.clamped_swiglu, limit=limit)
    return partial(kernels.gelu_and_mul if gated else kernels.gelu, exact=kind == "gelu")
