"""The feed-forward part of a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.layers.linear import Linear

Activation = Literal["silu", "gelu", "gelu_tanh"]


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
    kernels: Kernels, kind: Activation, *, gated: bool
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The operation between the matrices. Raises ValueError where there is none."""
    if kind == "silu":
        if not gated:
            raise ValueError("there is no silu without a gate")
        return kernels.silu_and_mul
    return partial(kernels.gelu_and_mul if gated else kernels.gelu, exact=kind == "gelu")
