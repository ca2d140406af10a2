"""What stands before and after the parts of a block: RMS norm, layer norm, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from sglang.srt.kernels.interface import Kernels


class Norm(Protocol):
    """One norm with its weights."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, H] -> [T, H]."""
        ...

    def of_sum(self, x: torch.Tensor, residual: torch.Tensor, scale: float) -> torch.Tensor:
        """residual[T, H] += scale * x[T, H] in place; the norm of it."""
        ...


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """x / rms(x) * weight."""

    kernels: Kernels
    weight: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.kernels.rms_norm(x, self.weight, self.eps)

    def of_sum(self, x: torch.Tensor, residual: torch.Tensor, scale: float) -> torch.Tensor:
        return self.kernels.add_rms_norm(x, residual, self.weight, self.eps, scale)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """(x - mean) / standard deviation * weight + bias."""

    kernels: Kernels
    weight: torch.Tensor
    bias: torch.Tensor | None
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.kernels.layer_norm(x, self.weight, self.bias, self.eps)

    def of_sum(self, x: torch.Tensor, residual: torch.Tensor, scale: float) -> torch.Tensor:
        return self.kernels.add_layer_norm(x, residual, self.weight, self.bias, self.eps, scale)


@dataclass(frozen=True, slots=True)
class NoNorm:
    """Lets everything through: no copy is made."""

    kernels: Kernels

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def of_sum(self, x: torch.Tensor, residual: torch.Tensor, scale: float) -> torch.Tensor:
        self.kernels.add_scaled(x, residual, scale)
        return residual
