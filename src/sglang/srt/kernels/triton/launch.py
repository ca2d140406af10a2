"""What the kernels' launches have in common, and the one matrix product of all kernels.

Triton's interpreter runs the same kernels on CPU tensors, one program after the other, in numpy
(``TRITON_INTERPRET=1`` in the environment before this module is imported). It differs in one
thing that matters here: it takes bfloat16 numbers for integers in a product.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

INTERPRETED = bool(triton.knobs.runtime.interpret)
"""Whether kernels run in the interpreter. Decided when they are defined, hence once a process."""

UNFUSED = {"enable_fp_fusion": False}
"""For launches: a product and a sum are rounded one after the other, as everywhere else."""
FUSED = {"enable_fp_fusion": True}

_WIDEN = tl.constexpr(INTERPRETED)


@triton.jit
def product(a: tl.tensor, b: tl.tensor, total: tl.tensor) -> tl.tensor:
    """total + a @ b, summed in float32; float32 factors are not rounded to TF32."""
    if _WIDEN:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


def block_of(count: int, *, least: int = 1) -> int:
    """The smallest power of two that is at least ``count`` and ``least``: blocks are such."""
    return 1 << (max(count, least) - 1).bit_length()


def warps_of(block: int) -> int:
    """Warps for work on ``block`` elements at a time: eight or more for each thread."""
    return min(max(block // 256, 1), 16)


def row_stride(name: str, x: torch.Tensor) -> int:
    """Elements from one row of a matrix to the next. Raises ValueError if a row has gaps."""
    if x.dim() != 2 or (x.shape[1] > 1 and x.stride(1) != 1):
        raise ValueError(
            f"{name} must be a matrix whose rows are contiguous, got shape {tuple(x.shape)} "
            f"with strides {x.stride()}"
        )
    return x.stride(0)
