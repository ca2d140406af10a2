"""Rows of logits: their best token, and tokens that may not come."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride, warps_of

PART = 4096
"""Columns of a row that one program looks at."""

_NOWHERE = tl.constexpr(2**31 - 1)


@triton.jit
def _best(value: tl.tensor, index: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """The largest of a block of values (NaN if there is one), and the least index that has it."""
    best = tl.max(tl.where(value == value, value, -float("inf")), axis=0)
    at = tl.min(tl.where(value == best, index, _NOWHERE), axis=0)
    wrong = tl.max((value != value).to(tl.int32), axis=0)
    return tl.where(wrong > 0, float("nan"), best), at


@triton.jit
def _best_of_part(
    logits: tl.tensor,
    stride: int,
    columns: int,
    values: tl.tensor,
    indices: tl.tensor,
    block: tl.constexpr,
) -> None:
    row, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = part * block + tl.arange(0, block)
    x = tl.load(logits + row * stride + column, mask=column < columns, other=-float("inf"))
    best, at = _best(x, column)
    place = row * tl.num_programs(1) + part
    tl.store(values + place, best)
    tl.store(indices + place, at)


@triton.jit
def _best_of_parts(
    values: tl.tensor,
    indices: tl.tensor,
    parts: int,
    best_values: tl.tensor,
    best_indices: tl.tensor,
    block: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, block)
    x = tl.load(values + row * parts + part, mask=part < parts, other=-float("inf"))
    at = tl.load(indices + row * parts + part, mask=part < parts, other=_NOWHERE)
    best, index = _best(x, at)
    usable = tl.abs(best) < float("inf")
    tl.store(best_values + row, best)
    tl.store(best_indices + row, tl.where(usable, index, -1).to(tl.int64))


def best_tokens(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """See ``interface.Kernels``. Many programs a row, so that few rows fill a GPU as well."""
    rows, columns = logits.shape
    if columns == 0:
        raise ValueError("logits must have at least one column")
    values = logits.new_empty(rows)
    indices = logits.new_empty(rows, dtype=torch.int64)
    if not rows:
        return values, indices
    block = min(block_of(columns), PART)
    parts = triton.cdiv(columns, block)
    part_values = logits.new_empty((rows, parts))
    part_indices = logits.new_empty((rows, parts), dtype=torch.int32)
    _best_of_part[(rows, parts)](
        logits,
        row_stride("logits", logits),
        columns,
        part_values,
        part_indices,
        block=block,
        num_warps=warps_of(block),
        **UNFUSED,
    )
    _best_of_parts[(rows,)](
        part_values,
        part_indices,
        parts,
        values,
        indices,
        block=block_of(parts),
        num_warps=1,
        **UNFUSED,
    )
    return values, indices


@triton.jit
def _mask(
    logits: tl.tensor,
    stride: int,
    rows: tl.tensor,
    bits: tl.tensor,
    columns: int,
    words: int,
    block: tl.constexpr,
) -> None:
    index = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + index)
    column = tl.program_id(1) * block + tl.arange(0, block)
    inside = column < columns
    word = tl.load(bits + index * words + column // 32, mask=inside, other=0)
    forbidden = ((word >> (column % 32)) & 1) == 0
    tl.store(logits + row * stride + column, -float("inf"), mask=inside & forbidden)


def mask_tokens(logits: torch.Tensor, rows: torch.Tensor, bits: torch.Tensor) -> None:
    """See ``interface.Kernels``."""
    columns = logits.shape[1]
    masked, words = len(rows), (columns + 31) // 32
    if bits.shape != (masked, words) or bits.dtype != torch.int32 or not bits.is_contiguous():
        raise ValueError(
            f"bits must be contiguous int32 [{masked}, {words}], got {bits.dtype} "
            f"{list(bits.shape)}"
        )
    if not masked:
        return
    block = min(block_of(columns), PART)
    _mask[(masked, triton.cdiv(columns, block))](
        logits,
        row_stride("logits", logits),
        rows,
        bits,
        columns,
        words,
        block=block,
        num_warps=warps_of(block),
        **UNFUSED,
    )
