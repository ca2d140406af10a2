"""A weight matrix and its product with activations."""

from __future__ import annotations

import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme


class Linear:
    """x @ weight.T + bias."""

    def __init__(
        self,
        kernels: Kernels,
        weight: torch.Tensor | QuantizedWeight,
        bias: torch.Tensor | None = None,
        *,
        scheme: WeightScheme | None = None,
        out_dtype: torch.dtype | None = None,
    ) -> None:
        """``weight`` [N, K] is kept in the kernels' own layout, as integers if there is a scheme.

        Integers stay what they are, and there must be no scheme for them. ``bias`` [N].
        ``out_dtype`` None: results have the dtype of the activations.
        """
        self._kernels = kernels
        if scheme is not None:
            assert isinstance(weight, torch.Tensor)
            weight = kernels.quantize_weight(weight, scheme)
        self._weight = kernels.pack_linear(weight)
        self._bias = bias
        self._out_dtype = out_dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[T, K] -> [T, N]."""
        return self._kernels.linear(x, self._weight, self._bias, out_dtype=self._out_dtype)
