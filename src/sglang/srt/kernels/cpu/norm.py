"""Norms and residual sums on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.checks import DTYPE_CODES, describe, row_stride
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.reference import ReferenceKernels

# The C struct of the same name: addresses, then int64_t, then double.
NORM = Struct("@5P8q2d")


class NormCalls:
    """The part of ``CpuKernels`` that norms rows. The arguments are those of ``AttentionCalls``."""

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        call: Callable[..., bool],
        new: Callable[[str, torch.Tensor, int, int, torch.dtype], torch.Tensor],
        fallback: Callable[[], ReferenceKernels],
    ) -> None:
        self._call, self._new, self._fallback = call, new, fallback
        self._norm = Operation(library.norm, NORM, counts_rows_at=5)

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """See ``interface.Kernels``, here and below."""
        if not _has_path(x, weight):
            return self._fallback().rms_norm(x, weight, eps)
        return self._rows(x, None, weight, None, eps, 1.0, centered=False)

    def add_rms_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        if not _has_path(x, weight) or residual.dtype != x.dtype:
            return self._fallback().add_rms_norm(x, residual, weight, eps, scale)
        return self._rows(x, residual, weight, None, eps, scale, centered=False)

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        if not _has_path(x, weight):
            return self._fallback().layer_norm(x, weight, bias, eps)
        return self._rows(x, None, weight, bias, eps, 1.0, centered=True)

    def add_layer_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        if not _has_path(x, weight) or residual.dtype != x.dtype:
            return self._fallback().add_layer_norm(x, residual, weight, bias, eps, scale)
        return self._rows(x, residual, weight, bias, eps, scale, centered=True)

    def norm_groups(
        self, x: torch.Tensor, weight: torch.Tensor, eps: float, *, centered: bool
    ) -> None:
        if not _has_path(x, weight):
            self._fallback().norm_groups(x, weight, eps, centered=centered)
            return
        stride = row_stride("x", x)
        rows, columns = x.shape
        if weight.dim() != 2 or weight.numel() != columns or not weight.is_contiguous():
            raise ValueError(
                f"weight must be contiguous [G, {columns} / G], got {describe(weight)}"
            )
        groups, width = weight.shape
        place = x.data_ptr()
        self._call(
            *(self._norm, place, 0, weight.data_ptr(), 0, place),
            *(rows, width, groups, stride, stride),
            *(DTYPE_CODES[x.dtype], DTYPE_CODES[weight.dtype], centered, eps, 1.0),
        )

    def add_scaled(self, x: torch.Tensor, residual: torch.Tensor, scale: float = 1.0) -> None:
        code = DTYPE_CODES.get(x.dtype)
        if code is None or residual.dtype != x.dtype:
            self._fallback().add_scaled(x, residual, scale)
            return
        _check_residual(x, residual)
        rows, width = x.shape
        self._call(
            *(self._norm, x.data_ptr(), residual.data_ptr(), 0, 0, 0),
            *(rows, width, 1, row_stride("x", x), 0, code, code, False, 0.0, scale),
        )

    def _rows(
        self,
        x: torch.Tensor,
        residual: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        eps: float,
        scale: float,
        *,
        centered: bool,
    ) -> torch.Tensor:
        stride = row_stride("x", x)
        rows, width = x.shape
        if weight.shape != (width,) or not weight.is_contiguous():
            raise ValueError(f"weight must be contiguous [{width}], got {describe(weight)}")
        if bias is not None and (
            bias.shape != (width,) or bias.dtype != weight.dtype or not bias.is_contiguous()
        ):
            raise ValueError(
                f"bias must be contiguous [{width}] of {weight.dtype}, got {describe(bias)}"
            )
        if residual is not None:
            _check_residual(x, residual)
        out = self._new("norm", x, rows, width, x.dtype)
        self._call(
            self._norm,
            x.data_ptr(),
            0 if residual is None else residual.data_ptr(),
            weight.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            out.data_ptr(),
            *(rows, width, 1, stride, width),
            *(DTYPE_CODES[x.dtype], DTYPE_CODES[weight.dtype], centered, eps, scale),
        )
        return out


def _has_path(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return x.dtype in DTYPE_CODES and weight.dtype in (x.dtype, torch.float32)


def _check_residual(x: torch.Tensor, residual: torch.Tensor) -> None:
    if residual.shape != x.shape or not residual.is_contiguous():
        raise ValueError(
            f"residual must be contiguous and shaped as x {tuple(x.shape)}, "
            f"got {describe(residual)}"
        )
