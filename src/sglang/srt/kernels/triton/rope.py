"""Head norms, rotary embedding and the write to the KV cache, in one pass over the projection."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.kv_cache import LARGEST, KVCache
from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride

HEADS = 8
"""The most heads of a token that one program works on."""


@triton.jit
def _round(x: tl.tensor) -> tl.tensor:
    """To whole numbers, halves to even ones; |x| must be below 2**22."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def store_head(
    place: tl.tensor,
    largest: tl.tensor,
    row: tl.tensor,
    offset: tl.tensor,
    value: tl.tensor,
    mask: tl.tensor,
    quantized: tl.constexpr,
    bound: tl.constexpr,
) -> None:
    """Store part of some heads: ``value`` at ``row[:, None] + offset``, as the cache's type has it.

    ``bound`` > 0 is the largest number of that type; ``quantized`` divides by the head's scale.
    """
    if quantized:
        factor = tl.where(largest > 0, tl.div_rn(127.0, largest), 0.0)
        value = _round(value * factor[:, None])
    elif bound > 0:  # comparisons, because they let a NaN through
        value = tl.where(value > bound, bound, tl.where(value < -bound, -bound, value))
    tl.store(place + row[:, None] + offset, value.to(place.dtype.element_ty), mask=mask)


@triton.jit
def _rope_heads(
    qkv: tl.tensor,
    qkv_row: tl.tensor,
    cos_sin: tl.tensor,
    weight: tl.tensor,
    eps: float,
    place: tl.tensor,
    place_row: tl.tensor,
    scales: tl.tensor,
    scale_row: tl.tensor,
    first_head: tl.tensor,
    num_heads: tl.constexpr,
    dim: tl.constexpr,
    rotary: tl.constexpr,
    interleaved: tl.constexpr,
    normed: tl.constexpr,
    quantized: tl.constexpr,
    bound: tl.constexpr,
    heads: tl.constexpr,
    half_block: tl.constexpr,
    rest_block: tl.constexpr,
) -> None:
    """``heads`` heads from ``first_head`` on: norm, rotate the first ``rotary`` values, store."""
    head = first_head + tl.arange(0, heads)
    present = head < num_heads
    source = qkv + qkv_row + head[:, None] * dim
    square = tl.zeros([heads], dtype=tl.float32)
    if rotary > 0:
        pair = tl.arange(0, half_block)
        pairs = present[:, None] & (pair < rotary // 2)[None, :]
        if interleaved:
            at_x, at_y = pair * 2, pair * 2 + 1
        else:
            at_x, at_y = pair, pair + rotary // 2
        x = tl.load(source + at_x[None, :], mask=pairs, other=0.0).to(tl.float32)
        y = tl.load(source + at_y[None, :], mask=pairs, other=0.0).to(tl.float32)
        square += tl.sum(x * x + y * y, axis=1)
    if rotary < dim:
        at_rest = rotary + tl.arange(0, rest_block)
        rests = present[:, None] & (at_rest < dim)[None, :]
        rest = tl.load(source + at_rest[None, :], mask=rests, other=0.0).to(tl.float32)
        square += tl.sum(rest * rest, axis=1)
    if normed:
        factor = tl.rsqrt(square / dim + eps)[:, None]
        if rotary > 0:
            there = pair < rotary // 2
            x *= factor * tl.load(weight + at_x, mask=there, other=0.0).to(tl.float32)[None, :]
            y *= factor * tl.load(weight + at_y, mask=there, other=0.0).to(tl.float32)[None, :]
        if rotary < dim:
            there = at_rest < dim
            own = tl.load(weight + at_rest, mask=there, other=0.0).to(tl.float32)
            rest *= factor * own[None, :]
    largest = tl.zeros([heads], dtype=tl.float32)
    poison = tl.zeros([heads], dtype=tl.float32)
    if rotary > 0:
        cos = tl.load(cos_sin + pair, mask=pair < rotary // 2, other=0.0)[None, :]
        sin = tl.load(cos_sin + rotary // 2 + pair, mask=pair < rotary // 2, other=0.0)[None, :]
        x, y = x * cos - y * sin, y * cos + x * sin
        if quantized:
            largest = tl.max(tl.maximum(tl.abs(x), tl.abs(y)), axis=1)
            poison += tl.sum((x + y) * 0.0, axis=1)
    if quantized:
        if rotary < dim:
            largest = tl.maximum(largest, tl.max(tl.abs(rest), axis=1))
            poison += tl.sum(rest * 0.0, axis=1)
        # Not finite where a value is not.
        tl.store(scales + scale_row + head, tl.div_rn(largest, 127.0) + poison, mask=present)
    row = place_row + head * dim
    if rotary > 0:
        store_head(place, largest, row, at_x[None, :], x, pairs, quantized, bound)
        store_head(place, largest, row, at_y[None, :], y, pairs, quantized, bound)
    if rotary < dim:
        store_head(place, largest, row, at_rest[None, :], rest, rests, quantized, bound)


@triton.jit
def _rope_and_write(
    qkv: tl.tensor,
    qkv_stride: int,
    positions: tl.tensor,
    cos_sin: tl.tensor,
    k_cache: tl.tensor,
    v_cache: tl.tensor,
    k_scale: tl.tensor,
    v_scale: tl.tensor,
    out_slots: tl.tensor,
    q_norm: tl.tensor,
    k_norm: tl.tensor,
    eps: float,
    num_heads: tl.constexpr,
    num_kv_heads: tl.constexpr,
    dim: tl.constexpr,
    rotary: tl.constexpr,
    interleaved: tl.constexpr,
    q_normed: tl.constexpr,
    k_normed: tl.constexpr,
    quantized: tl.constexpr,
    bound: tl.constexpr,
    heads: tl.constexpr,
    half_block: tl.constexpr,
    rest_block: tl.constexpr,
    plain_block: tl.constexpr,
) -> None:
    """A program has ``heads`` heads of one token: queries first, then keys, then values."""
    token, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    q_parts: tl.constexpr = (num_heads + heads - 1) // heads
    kv_parts: tl.constexpr = (num_kv_heads + heads - 1) // heads
    row = token * qkv_stride
    table = cos_sin + tl.load(positions + token).to(tl.int64) * rotary
    slot = tl.load(out_slots + token).to(tl.int64)
    to, to_scale = slot * num_kv_heads * dim, slot * num_kv_heads
    if part < q_parts:
        _rope_heads(
            qkv, row, table, q_norm, eps, qkv, row, k_scale, to_scale, part * heads,
            num_heads, dim, rotary, interleaved, q_normed, False, 0.0,
            heads, half_block, rest_block,
        )  # fmt: skip
    elif part < q_parts + kv_parts:
        _rope_heads(
            qkv, row + num_heads * dim, table, k_norm, eps, k_cache, to, k_scale, to_scale,
            (part - q_parts) * heads,
            num_kv_heads, dim, rotary, interleaved, k_normed, quantized, bound,
            heads, half_block, rest_block,
        )  # fmt: skip
    else:
        _rope_heads(
            qkv, row + (num_heads + num_kv_heads) * dim, table, k_norm, eps, v_cache, to, v_scale,
            to_scale, (part - q_parts - kv_parts) * heads,
            num_kv_heads, dim, 0, False, False, quantized, bound,
            heads, half_block, plain_block,
        )  # fmt: skip


def rope_and_write_kv(
    qkv: torch.Tensor,
    positions: torch.Tensor,
    cos_sin: torch.Tensor,
    cache: KVCache,
    out_slots: torch.Tensor,
    *,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    q_norm: torch.Tensor | None,
    k_norm: torch.Tensor | None,
    norm_eps: float,
    interleaved: bool,
) -> None:
    """See ``interface.Kernels``."""
    tokens, width = qkv.shape
    rotary = cos_sin.shape[1]
    if width != (num_heads + 2 * num_kv_heads) * head_dim:
        raise ValueError(
            f"qkv must have ({num_heads} + 2 * {num_kv_heads}) * {head_dim} columns, got {width}"
        )
    if rotary > head_dim or rotary % 2:
        raise ValueError(f"the rotary dimension must be even and at most {head_dim}, got {rotary}")
    if not tokens:
        return
    heads = min(block_of(num_kv_heads), HEADS)
    parts = triton.cdiv(num_heads, heads) + 2 * triton.cdiv(num_kv_heads, heads)
    _rope_and_write[(tokens, parts)](
        qkv,
        row_stride("qkv", qkv),
        positions,
        cos_sin,
        cache.k,
        cache.v,
        cache.k if cache.k_scale is None else cache.k_scale,
        cache.v if cache.v_scale is None else cache.v_scale,
        out_slots,
        qkv if q_norm is None else q_norm,
        qkv if k_norm is None else k_norm,
        norm_eps,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        dim=head_dim,
        rotary=rotary,
        interleaved=interleaved,
        q_normed=q_norm is not None,
        k_normed=k_norm is not None,
        quantized=cache.k_scale is not None,
        bound=0.0 if cache.k_scale is not None else LARGEST.get(cache.k.dtype, 0.0),
        heads=heads,
        half_block=block_of(rotary // 2),
        rest_block=block_of(head_dim - rotary),
        plain_block=block_of(head_dim),
        num_warps=4 if heads * head_dim >= 512 else 1,
        **UNFUSED,
    )
