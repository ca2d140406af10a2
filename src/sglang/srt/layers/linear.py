"""A weight matrix and its product with activations."""

from __future__ import annotations

import torch

from sglang.srt.kernels.interface import Kernels


class Linear:
    """x @ weight.T + bias."""

    def __init__(
        self,
        kernels: Kernels,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        *,
        out_dtype: torch.dtype | None = None,
    ) -> None:
        """``weight`` [N, K] is kept in the kernels' own layout; ``bias`` [N].

        ``out_dtype`` None: results have the dtype of the activations.
        """
        self._kernels = kernels
        self._weight = kernels.pack_linear(weight)
        self._bias = bias
        self._out_dtype = out_dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, K] -> [T, N]."""
        return self._kernels.linear(x, self._weight, self._bias, out_dtype=self._out_dtype)
