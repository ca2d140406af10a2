"""A mixture of experts in the place of an MLP."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglang.srt.kernels.interface import Activation, Kernels, PackedExperts
from sglang.srt.kernels.routing import Routing
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.mlp import MLP


@dataclass(frozen=True, slots=True)
class MoE:
    """The gated MLPs of the experts that a router chooses for each token, and what all share."""

    kernels: Kernels
    router: Linear
    """[T, H] -> [T, E] float32."""
    correction: torch.Tensor | None
    """[E] float32, added to the scores to choose by."""
    routing: Routing
    up: PackedExperts
    down: PackedExperts
    activation: Activation
    limit: float = 0.0
    """Of a clamped activation."""
    scale_input: bool = False
    """The weight of an expert is multiplied with what goes into it, not with what comes out."""
    shared: MLP | None = None
    """An MLP for every token."""
    shared_gate: Linear | None = None
    """[T, H] -> [T, 1] float32: the sigmoid of it is the weight of ``shared``; else it is 1."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, H] -> [T, H]."""
        kernels = self.kernels
        experts, weights = kernels.route(self.router(x), self.correction, self.routing)
        out = kernels.expert_mlp(
            x,
            experts,
            weights,
            self.up,
            self.down,
            kind=self.activation,
            limit=self.limit,
            scale_input=self.scale_input,
        )
        if self.shared is None:
            return out
        if self.shared_gate is None:
            kernels.add_scaled(self.shared(x), out)
        else:
            kernels.add_gated(self.shared(x), self.shared_gate(x), out)
        return out
