"""RMS norm (arXiv:1910.07467) and layer norm (arXiv:1607.06450), with and without a sum before."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride, warps_of


@triton.jit
def _norm(
    x: tl.tensor,
    residual: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    x_stride: int,
    residual_stride: int,
    out_stride: int,
    width: int,
    eps: float,
    scale: float,
    added: tl.constexpr,
    centered: tl.constexpr,
    biased: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """One program a row, or a group of a row's columns, which it holds as a whole."""
    row, first = tl.program_id(0).to(tl.int64), tl.program_id(1) * width
    column = tl.arange(0, block)
    inside = column < width
    column += first
    value = tl.load(x + row * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    if added:
        place = residual + row * residual_stride + column
        total = tl.load(place, mask=inside, other=0.0).to(tl.float32) + scale * value
        rounded = total.to(residual.dtype.element_ty)
        tl.store(place, rounded, mask=inside)
        value = rounded.to(tl.float32)
    if centered:
        mean = tl.sum(value, axis=0) / width
        value = tl.where(inside, value - mean, 0.0)
    mean_square = tl.sum(value * value, axis=0) / width
    value *= tl.rsqrt(mean_square + eps)
    value *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    if biased:
        value += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + column, value.to(out.dtype.element_ty), mask=inside)


def norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    eps: float,
    *,
    centered: bool,
    residual: torch.Tensor | None = None,
    scale: float = 1.0,
) -> torch.Tensor:
    """The norm of each row of x[T, H], or of residual += scale * x where that is given."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _launch(x, weight, bias, out, eps, x.shape[1], 1, centered, residual, scale)
    return out


def norm_groups(x: torch.Tensor, weight: torch.Tensor, eps: float, *, centered: bool) -> None:
    """See ``interface.Kernels``."""
    groups, width = weight.shape
    if not weight.is_contiguous() or x.shape[1] != groups * width:
        raise ValueError(
            f"weight must be contiguous [G, W] with G * W = {x.shape[1]}, got "
            f"{tuple(weight.shape)} with strides {weight.stride()}"
        )
    _launch(x, weight, None, x, eps, width, groups, centered, None, 1.0)


def _launch(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    eps: float,
    width: int,
    groups: int,
    centered: bool,
    residual: torch.Tensor | None,
    scale: float,
) -> None:
    if not len(x):
        return
    block = block_of(width)
    _norm[(len(x), groups)](
        x,
        x if residual is None else residual,
        weight,
        weight if bias is None else bias,
        out,
        row_stride("x", x),
        0 if residual is None else row_stride("residual", residual),
        row_stride("out", out),
        width,
        eps,
        scale,
        added=residual is not None,
        centered=centered,
        biased=bias is not None,
        block=block,
        num_warps=warps_of(block),
        **UNFUSED,
    )
