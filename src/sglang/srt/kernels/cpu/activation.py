"""Activations on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.checks import DTYPE_CODES, check_indices, describe, row_stride
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.reference import ReferenceKernels

# The C structs of the same names: addresses, then int64_t, then double.
GATE = Struct("@2P6qd")
CLAMP = Struct("@P4qd")
SCALE_ROWS = Struct("@3P4q")

SILU, GELU_TANH, GELU_ERF, CLAMPED_SWIGLU = 0, 1, 2, 3
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
        self._scale_rows = Operation(library.scale_rows, SCALE_ROWS, counts_rows_at=3)

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

    def clamped_swiglu(self, x: torch.Tensor, limit: float) -> torch.Tensor:
        if x.dtype not in DTYPE_CODES:
            return self._fallback().clamped_swiglu(x, limit)
        return self._rows(x, CLAMPED_SWIGLU, gated=True, limit=limit)

    def clamp(self, x: torch.Tensor, limit: float) -> None:
        code = DTYPE_CODES.get(x.dtype)
        if code is None:
            self._fallback().clamp(x, limit)
            return
        rows, width = x.shape
        self._call(self._clamp, x.data_ptr(), rows, width, row_stride("x", x), code, limit)

    def scale_rows(self, x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
        code = DTYPE_CODES.get(x.dtype)
        if code is None:
            self._fallback().scale_rows(x, positions, table)
            return
        rows, width = x.shape
        check_indices("positions", positions, torch.int32, rows)
        if table.dtype != torch.float32 or table.dim() != 1 or not table.is_contiguous():
            raise ValueError(f"table must be contiguous float32 [P], got {describe(table)}")
        self._call(
            *(self._scale_rows, x.data_ptr(), positions.data_ptr(), table.data_ptr()),
            *(rows, width, row_stride("x", x), code),
        )

    def _rows(self, x: torch.Tensor, kind: int, *, gated: bool, limit: float = 0.0) -> torch.Tensor:
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
            *(rows, width, stride, code, kind, gated, limit),
        )
        return out
