"""What stands between the two matrices of an MLP, with and without a gate."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.interface import Activation
from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride

MAX_BLOCK = 1024


@triton.jit
def activated(gate: tl.tensor, limit: float, kind: tl.constexpr) -> tl.tensor:
    """The activation ``kind`` of float32 numbers; ``limit`` is that of ``clamped_swiglu``."""
    if kind == "silu":
        return gate * tl.sigmoid(gate)
    elif kind == "gelu":
        return 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    elif kind == "clamped_swiglu":  # a comparison, because it lets a NaN through
        gate = tl.where(gate > limit, limit, gate)
        return gate * tl.sigmoid(1.702 * gate)
    else:  # by tanh: 1 + tanh(z) = 2 sigmoid(2 z)
        return gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))


@triton.jit
def factor_of(up: tl.tensor, limit: float, kind: tl.constexpr) -> tl.tensor:
    """What the activation is multiplied with."""
    if kind == "clamped_swiglu":
        return tl.where(up > limit, limit, tl.where(up < -limit, -limit, up)) + 1.0
    else:
        return up


@triton.jit
def _activate(
    x: tl.tensor,
    out: tl.tensor,
    x_stride: int,
    width: int,
    limit: float,
    kind: tl.constexpr,
    gated: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """One program for ``block`` columns of a row; a row of x is the gate, then the rest."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < width
    source = x + row * x_stride + column
    gate = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    value = activated(gate, limit, kind)
    if gated:
        up = tl.load(source + width, mask=inside, other=0.0).to(tl.float32)
        value *= factor_of(up, limit, kind)
    tl.store(out + row * width + column, value.to(out.dtype.element_ty), mask=inside)


def activate(x: torch.Tensor, kind: Activation, *, gated: bool, limit: float = 0.0) -> torch.Tensor:
    """act(x), or act(x[:, :I]) * x[:, I:] for a gated x[T, 2I]; [T, I].

    ``clamped_swiglu`` is a gated one, with its ``limit``, see ``interface.Kernels``.
    """
    rows, columns = x.shape
    width = columns // 2 if gated else columns
    out = torch.empty((rows, width), dtype=x.dtype, device=x.device)
    if not out.numel():
        return out
    block = min(block_of(width), MAX_BLOCK)
    _activate[(rows, triton.cdiv(width, block))](
        x,
        out,
        row_stride("x", x),
        width,
        limit,
        kind=kind,
        gated=gated,
        block=block,
        num_warps=4 if block == MAX_BLOCK else 1,
        **UNFUSED,
    )
    return out
