"""Activations on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.checks import DTYPE_CODES, row_stride
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.reference import ReferenceKernels

# The C structs of the same names: addresses, then int64_t, then double.
GATE = Struct("@2P6q")
CLAMP = Struct("@P4qd")

SILU, GELU_TANH, GELU_ERF = 0, 1, 2
"""What the C code calls them."""


class ActivationCalls:
    """The part of ``CpuKernels`` between the matrices of an MLP.

    The arguments are those of ``AttentionCalls``.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        call: Callable[..., bool],
        new: Callable[[str, torch.Tensor, int, int, torch.dtype], torch.Tensor],
        fallback: Callable[[], ReferenceKernels],
    ) -> None:
        self._call, self._new, self._fallback = call, new, fallback
        self._activate = Operation(library.activate, GATE, counts_rows_at=2)
        self._clamp = Operation(library.clamp, CLAMP, counts_rows_at=1)

    def silu_and_mul(self, x: torch.Tensor) -> torch.Tensor:
        """See ``interface.Kernels``, here and below."""
        if x.dtype not in DTYPE_CODES:
            return self._fallback().silu_and_mul(x)
        return self._rows(x, SILU, gated=True)

    def gelu_and_mul(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        if x.dtype not in DTYPE_CODES:
            return self._fallback().gelu_and_mul(x, exact=exact)
        return self._rows(x, GELU_ERF if exact else GELU_TANH, gated=True)

    def gelu(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        if x.dtype not in DTYPE_CODES:
            return self._fallback().gelu(x, exact=exact)
        return self._rows(x, GELU_ERF if exact else GELU_TANH, gated=False)

    def clamp(self, x: torch.Tensor, limit: float) -> None:
        code = DTYPE_CODES.get(x.dtype)
        if code is None:
            self._fallback().clamp(x, limit)
            return
        rows, width = x.shape
        self._call(self._clamp, x.data_ptr(), rows, width, row_stride("x", x), code, limit)

    def _rows(self, x: torch.Tensor, kind: int, *, gated: bool) -> torch.Tensor:
        stride = row_stride("x", x)
        rows, width = x.shape
        if gated:
            if width % 2:
                raise ValueError(f"x must have an even number of columns, got {width}")
            width //= 2
        out = self._new("gate", x, rows, width, x.dtype)
        code = DTYPE_CODES[x.dtype]
        self._call(
            *(self._activate, x.data_ptr(), out.data_ptr()),
            *(rows, width, stride, code, kind, gated),
        )
        return out
