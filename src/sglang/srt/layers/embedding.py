"""Token ids -> vectors, and vectors -> scores of the next token."""

from __future__ import annotations

import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.layers.linear import Linear


class Embedding:
    """One vector a token of the vocabulary."""

    def __init__(self, kernels: Kernels, weight: torch.Tensor) -> None:
        """``weight`` [V, H]."""
        self._kernels = kernels
        self._weight = weight

    def __call__(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[T] int64 -> [T, H], a new tensor."""
        return self._kernels.gather_rows(self._weight, input_ids)


class LMHead:
    """Scores of every token of the vocabulary."""

    def __init__(
        self,
        kernels: Kernels,
        weight: torch.Tensor,
        scheme: WeightScheme | None = None,
        bias: torch.Tensor | None = None,
    ) -> None:
        """``weight`` [V, H]; the embedding's own where the two are tied. ``bias`` [V]."""
        self._linear = Linear(kernels, weight, bias, scheme=scheme, out_dtype=torch.float32)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """[R, H] -> [R, V] float32."""
        return self._linear(hidden)
