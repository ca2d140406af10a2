"""What the C code relies on, checked before it is called. Messages are built only on failure."""

from __future__ import annotations

import torch

DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1}
"""Activations that the C code computes with, and what it calls them."""


def row_stride(name: str, x: torch.Tensor) -> int:
    """Distance of the rows of x[T, n], whose columns must be adjacent."""
    strides = x.stride()
    if len(strides) != 2 or (strides[1] != 1 and x.shape[1] > 1):
        raise ValueError(f"{name} must be [T, n] with adjacent columns, got {describe(x)}")
    return strides[0]


def check_indices(
    name: str, x: torch.Tensor, dtype: torch.dtype, length: int | None = None
) -> None:
    if (
        x.dtype != dtype
        or x.dim() != 1
        or not x.is_contiguous()
        or (length is not None and x.shape[0] != length)
    ):
        wanted = "any number of" if length is None else length
        raise ValueError(f"{name} must be {wanted} contiguous {dtype}, got {describe(x)}")


def describe(x: torch.Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)} and stride {x.stride()}"
