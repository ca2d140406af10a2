"""What multi-head latent attention (DeepSeek-V2, arXiv:2405.04434) needs beside the attention."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from sglang.srt.kernels.interface import PackedExperts
from sglang.srt.kernels.kv_cache import LARGEST, KVCache
from sglang.srt.kernels.triton.launch import UNFUSED, block_of, row_stride
from sglang.srt.kernels.triton.rope import HEADS, store_head


@triton.jit
def _load_turned(
    source: tl.tensor,
    at_x: tl.tensor,
    at_y: tl.tensor,
    mask: tl.tensor,
    table: tl.tensor,
    pair: tl.tensor,
    pairs: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """The pairs at ``source + at_x`` and ``source + at_y``, rotated by a row of the table."""
    x = tl.load(source + at_x, mask=mask, other=0.0).to(tl.float32)
    y = tl.load(source + at_y, mask=mask, other=0.0).to(tl.float32)
    cos = tl.load(table + pair, mask=pair < pairs, other=0.0)[None, :]
    sin = tl.load(table + pairs + pair, mask=pair < pairs, other=0.0)[None, :]
    return x * cos - y * sin, y * cos + x * sin


@triton.jit
def _rope_and_write_latent(
    q: tl.tensor,
    q_stride: int,
    latent: tl.tensor,
    latent_stride: int,
    positions: tl.tensor,
    cos_sin: tl.tensor,
    cache: tl.tensor,
    scales: tl.tensor,
    out_slots: tl.tensor,
    weight: tl.tensor,
    eps: float,
    num_heads: tl.constexpr,
    head_dim: tl.constexpr,
    latent_dim: tl.constexpr,
    rotary: tl.constexpr,
    interleaved: tl.constexpr,
    quantized: tl.constexpr,
    bound: tl.constexpr,
    heads: tl.constexpr,
    half_block: tl.constexpr,
    latent_block: tl.constexpr,
) -> None:
    """The first program of a token has its latent row, the others ``heads`` heads each."""
    token, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pairs: tl.constexpr = rotary // 2
    table = cos_sin + tl.load(positions + token).to(tl.int64) * rotary
    pair = tl.arange(0, half_block)
    if interleaved:
        at_x, at_y = pair * 2, pair * 2 + 1
    else:
        at_x, at_y = pair, pair + pairs
    at_x, at_y = at_x[None, :], at_y[None, :]
    if part > 0:
        head = (part - 1) * heads + tl.arange(0, heads)
        mask = (head < num_heads)[:, None] & (pair < pairs)[None, :]
        row = token * q_stride + head * head_dim + (head_dim - rotary)
        x, y = _load_turned(q + row[:, None], at_x, at_y, mask, table, pair, pairs)
        store_head(q, row, row, at_x, x, mask, False, 0.0)
        store_head(q, row, row, at_y, y, mask, False, 0.0)
        return
    # A tile of one row, like a tile of heads.
    one = tl.arange(0, 1)
    source = latent + token * latent_stride
    column = tl.arange(0, latent_block)
    kept = (one == 0)[:, None] & (column < latent_dim)[None, :]
    value = tl.load(source + column[None, :], mask=kept, other=0.0).to(tl.float32)
    own = tl.load(weight + column, mask=column < latent_dim, other=0.0).to(tl.float32)
    factor = tl.rsqrt(tl.sum(value * value, axis=1) / latent_dim + eps)
    value *= factor[:, None] * own[None, :]
    mask = (one == 0)[:, None] & (pair < pairs)[None, :]
    x, y = _load_turned(source + latent_dim, at_x, at_y, mask, table, pair, pairs)
    largest = tl.max(tl.abs(value), axis=1)
    slot = tl.load(out_slots + token).to(tl.int64)
    if quantized:
        largest = tl.maximum(largest, tl.max(tl.maximum(tl.abs(x), tl.abs(y)), axis=1))
        # Not finite where a value is not.
        poison = tl.sum(value * 0.0, axis=1) + tl.sum((x + y) * 0.0, axis=1)
        tl.store(scales + slot + one, tl.div_rn(largest, 127.0) + poison)
    row = slot * (latent_dim + rotary) + one
    store_head(cache, largest, row, column[None, :], value, kept, quantized, bound)
    row += latent_dim
    store_head(cache, largest, row, at_x, x, mask, quantized, bound)
    store_head(cache, largest, row, at_y, y, mask, quantized, bound)


def rope_and_write_latent(
    q: torch.Tensor,
    latent: torch.Tensor,
    positions: torch.Tensor,
    cos_sin: torch.Tensor,
    cache: KVCache,
    out_slots: torch.Tensor,
    *,
    num_heads: int,
    norm: torch.Tensor,
    norm_eps: float,
    interleaved: bool,
) -> None:
    """See ``interface.Kernels``."""
    tokens, width = latent.shape
    rotary, latent_dim = cos_sin.shape[1], len(norm)
    head_dim = q.shape[1] // num_heads
    if width != latent_dim + rotary or cache.k.shape[1:] != (1, width):
        raise ValueError(
            f"latent rows and cache must have {latent_dim} + {rotary} columns, got {width} and "
            f"{list(cache.k.shape)}"
        )
    if rotary > head_dim or rotary % 2 or q.shape[1] != num_heads * head_dim:
        raise ValueError(
            f"q must have {num_heads} heads of at least {rotary} (even) columns, got {q.shape[1]}"
        )
    if not tokens:
        return
    heads = min(block_of(num_heads), HEADS)
    _rope_and_write_latent[(tokens, 1 + triton.cdiv(num_heads, heads))](
        q,
        row_stride("q", q),
        latent,
        row_stride("latent", latent),
        positions,
        cos_sin,
        cache.k,
        cache.k if cache.k_scale is None else cache.k_scale,
        out_slots,
        norm,
        norm_eps,
        num_heads=num_heads,
        head_dim=head_dim,
        latent_dim=latent_dim,
        rotary=rotary,
        interleaved=interleaved,
        quantized=cache.k_scale is not None,
        bound=0.0 if cache.k_scale is not None else LARGEST.get(cache.k.dtype, 0.0),
        heads=heads,
        half_block=block_of(rotary // 2),
        latent_block=block_of(latent_dim),
        num_warps=4 if latent_dim >= 512 else 1,
        **UNFUSED,
    )


def linear_heads(
    x: torch.Tensor, packed: PackedExperts, beside: torch.Tensor | None = None
) -> torch.Tensor:
    """See ``interface.Kernels``. The product of torch, written where ``beside`` belongs next to."""
    tokens, groups, _ = x.shape
    n = packed.out_features
    out = x.new_empty((tokens, groups, n + (0 if beside is None else beside.shape[2])))
    torch.bmm(x.transpose(0, 1), packed.data.transpose(1, 2), out=out[..., :n].transpose(0, 1))
    if beside is not None:
        out[..., n:] = beside
    return out.flatten(1)
