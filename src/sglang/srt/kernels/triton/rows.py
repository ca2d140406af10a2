"""Rows that are scaled or added, each with a factor of its own."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride

MAX_BLOCK = 1024


@triton.jit
def _scale_rows(
    x: tl.tensor,
    stride: int,
    positions: tl.tensor,
    table: tl.tensor,
    width: int,
    block: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    place, inside = x + row * stride + column, column < width
    value = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    value *= tl.load(table + tl.load(positions + row))
    tl.store(place, value.to(x.dtype.element_ty), mask=inside)


def scale_rows(x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
    """See ``interface.Kernels``."""
    rows, width = x.shape
    if not x.numel():
        return
    block = min(block_of(width), MAX_BLOCK)
    _scale_rows[(rows, triton.cdiv(width, block))](
        x, row_stride("x", x), positions, table, width, block=block, num_warps=4, **UNFUSED
    )


@triton.jit
def _add_gated(
    x: tl.tensor,
    x_stride: int,
    gate: tl.tensor,
    residual: tl.tensor,
    residual_stride: int,
    width: int,
    block: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    value = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    place = residual + row * residual_stride + column
    total = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    total += tl.sigmoid(tl.load(gate + row)) * value
    tl.store(place, total.to(residual.dtype.element_ty), mask=inside)


def add_gated(x: torch.Tensor, gate: torch.Tensor, residual: torch.Tensor) -> None:
    """See ``interface.Kernels``."""
    rows, width = x.shape
    if gate.shape != (rows, 1) or gate.dtype != torch.float32 or not gate.is_contiguous():
        raise ValueError(f"gate must be contiguous float32 [{rows}, 1], got {list(gate.shape)}")
    if not x.numel():
        return
    block = min(block_of(width), MAX_BLOCK)
    _add_gated[(rows, triton.cdiv(width, block))](
        x,
        row_stride("x", x),
        gate,
        residual,
        row_stride("residual", residual),
        width,
        block=block,
        num_warps=4,
        **UNFUSED,
    )
