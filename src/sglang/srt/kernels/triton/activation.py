"""What stands between the two matrices of an MLP: SiLU or GELU, with and without a gate."""

from __future__ import annotations

from typing import Literal

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride

MAX_BLOCK = 1024


@triton.jit
def _activate(
    x: tl.tensor,
    out: tl.tensor,
    x_stride: int,
    width: int,
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
    if kind == "silu":
        value = gate * tl.sigmoid(gate)
    elif kind == "gelu":
        value = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    else:  # by tanh: 1 + tanh(z) = 2 sigmoid(2 z)
        value = gate * tl.sigmoid(1.5957691216057308 * (gate + 0.044715 * gate * gate * gate))
    if gated:
        value *= tl.load(source + width, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, value.to(out.dtype.element_ty), mask=inside)


def activate(
    x: torch.Tensor, kind: Literal["silu", "gelu", "gelu_tanh"], *, gated: bool
) -> torch.Tensor:
    """act(x), or act(x[:, :I]) * x[:, I:] for a gated x[T, 2I]; [T, I]."""
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
        kind=kind,
        gated=gated,
        block=block,
        num_warps=4 if block == MAX_BLOCK else 1,
        **UNFUSED,
    )
    return out
