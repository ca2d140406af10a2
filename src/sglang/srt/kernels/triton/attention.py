"""Ragged paged attention: how the work of a batch is cut into tiles, and the launches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import triton

from sglang.srt.kernels import TritonSettings
from sglang.srt.kernels.attention_variant import AttentionVariant
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.kernels.triton.attention_tile import attend_tile, join_parts
from sglang.srt.kernels.triton.launch import FUSED, block_of

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import AttentionMeta

MAX_HEAD_DIM = 256
MAX_LATENT_DIM, MAX_REST_DIM = 512, 128
"""Of latent rows: numbers that are values as well, and that are not."""
LEAST_PART = 128
"""Keys that are not divided among programs."""
MAX_ROWS = 128
"""Rows of a tile: more do not fit the registers."""
_MEMORY_FOR_WIDE_TILES, _MEMORY_FOR_LATENT_TILES = 200 << 10, 160 << 10


@dataclass(frozen=True, slots=True)
class TileShape:
    """How much one program works on at a time."""

    block_m: int
    """Rows: (query token, head) pairs."""
    block_n: int
    """Keys."""
    num_warps: int
    num_stages: int


def heads_of_tile(group: int, dim: int, itemsize: int, shared_memory: int) -> int:
    """In how many of the ``group`` heads that share a key/value head a program works."""
    most = _latent_rows(itemsize, shared_memory) if dim > MAX_HEAD_DIM else MAX_ROWS
    return min(group, most)


def decode_shape(group: int, head_dim: int, itemsize: int) -> TileShape:
    """For one query token in ``group`` heads: bound by how fast the cache is read."""
    if head_dim > MAX_HEAD_DIM:
        return _latent_shape(group, itemsize)
    row_bytes = block_of(head_dim) * itemsize
    block_n, stages = (64, 3) if row_bytes <= 256 else (32, 2)
    return TileShape(block_of(group, least=16), block_n, 4 if itemsize == 2 else 8, stages)


def extend_shape(
    rows: int, group: int, head_dim: int, itemsize: int, shared_memory: int
) -> TileShape:
    """For sequences of up to ``rows`` rows: bound by the products.

    ``shared_memory``: bytes that one program can have. Tiles of 16-bit numbers are as large as
    registers allow; float32 goes through ordinary multiplications, where that does not pay.
    """
    if head_dim > MAX_HEAD_DIM:
        rows = max(group, min(rows, _latent_rows(itemsize, shared_memory)))
        return _latent_shape(rows, itemsize)
    wide = block_of(head_dim) > 128
    if itemsize == 4:
        most, block_n, stages = 16 if wide else 32, 32, 1
    elif wide and shared_memory < _MEMORY_FOR_WIDE_TILES:
        most, block_n, stages = 64, 32, 1
    else:
        most, block_n, stages = MAX_ROWS, 64, 2
    # Few sizes, because for each a kernel is compiled.
    wanted = 16 if rows <= 16 else 64 if rows <= 64 else MAX_ROWS
    block_m = max(min(wanted, most), block_of(group, least=16))
    return TileShape(block_m, block_n, 8 if block_m >= 128 or itemsize == 4 else 4, stages)


def _latent_rows(itemsize: int, shared_memory: int) -> int:
    """The most rows of a tile for latent rows: each holds 512 sums."""
    return 64 if itemsize == 2 and shared_memory >= _MEMORY_FOR_LATENT_TILES else 16


def _latent_shape(rows: int, itemsize: int) -> TileShape:
    if itemsize == 4:
        return TileShape(16, 16, 8, 1)
    block_m = 16 if rows <= 16 else 64
    return TileShape(block_m, 32, 8 if block_m == 64 else 4, 2)


class PagedAttention:
    """Attention with its settings.

    A decode step divides the keys of a sequence into up to ``num_kv_splits`` parts, each worked
    on by a program of its own; ``reduce_in_fp32`` keeps their results in float32 until they are
    put together, else in the dtype of the queries.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings

    @staticmethod
    def serves(q: torch.Tensor, cache: KVCache, variant: AttentionVariant) -> bool:
        """Whether these kernels can: see the limits above."""
        head_dim, value_dim = q.shape[2], cache.v.shape[2]
        if variant.sparsity is not None or not cache.k.is_contiguous():
            return False
        if head_dim == value_dim:
            return head_dim <= MAX_HEAD_DIM and cache.v.is_contiguous()
        latent = cache.k.shape[1] == 1 and cache.k.data_ptr() == cache.v.data_ptr()
        return latent and value_dim <= MAX_LATENT_DIM and 0 < head_dim - value_dim <= MAX_REST_DIM

    def __call__(
        self,
        q: torch.Tensor,
        cache: KVCache,
        meta: AttentionMeta,
        *,
        scale: float,
        window: int,
        softcap: float,
        variant: AttentionVariant,
    ) -> torch.Tensor:
        """See ``interface.Kernels``; ``serves`` must hold."""
        tokens, num_heads, head_dim = q.shape
        if tokens and (q.stride(2) != 1 or q.stride(1) != head_dim):
            raise ValueError(
                f"the last two dimensions of q must be adjacent, got strides {q.stride()}"
            )
        num_kv_heads = cache.k.shape[1]
        if num_heads % num_kv_heads:
            raise ValueError(
                f"{num_heads} query heads are no multiple of {num_kv_heads} key/value heads"
            )
        out = q.new_empty((tokens, num_heads * cache.v.shape[2]))
        if not tokens:
            return out
        memory = self._settings.shared_memory
        tile = _Tiles(q, cache, meta, scale, window, softcap, variant, memory)
        # Sequences with one new token are worked on by parts of their keys, others as a whole.
        self._decode(tile, out)
        if meta.max_q_len > 1:
            rows = meta.max_q_len * tile.heads
            shape = extend_shape(rows, tile.heads, head_dim, q.itemsize, memory)
            per_tile = shape.block_m // tile.heads
            count = tokens // per_tile + tile.batch
            tile.launch(out, out, shape, tiles=count, tokens=per_tile, one_tile=False, parts=1)
        return out

    def _decode(self, tile: _Tiles, out: torch.Tensor) -> None:
        q, batch, variant = tile.q, tile.batch, tile.variant
        num_heads, value_dim = q.shape[1], tile.cache.v.shape[2]
        shape = decode_shape(tile.heads, q.shape[2], q.itemsize)
        # Not as many as the longest sequence has: for each number a kernel is compiled.
        parts = self._settings.num_kv_splits if tile.meta.max_kv_len > LEAST_PART else 1
        if parts == 1:
            tile.launch(out, out, shape, tiles=batch, tokens=1, one_tile=True, parts=1)
            return
        dtype = torch.float32 if self._settings.reduce_in_fp32 else q.dtype
        partial = torch.empty((batch, num_heads, parts, value_dim), dtype=dtype, device=q.device)
        log_sums = torch.empty((batch, num_heads, parts), dtype=torch.float32, device=q.device)
        tile.launch(partial, log_sums, shape, tiles=batch, tokens=1, one_tile=True, parts=parts)
        join_parts[(batch, num_heads)](
            partial,
            log_sums,
            out,
            out if variant.sinks is None else variant.sinks,
            tile.meta.q_indptr,
            tile.meta.kv_len,
            tile.window,
            variant.chunk,
            num_heads=num_heads,
            value_dim=value_dim,
            parts=parts,
            least=LEAST_PART,
            windowed=tile.window > 0,
            chunked=variant.chunk > 0,
            sunk=variant.sinks is not None,
            block_n=shape.block_n,
            block_p=block_of(parts),
            block_d=block_of(value_dim, least=16),
            num_warps=1 if value_dim <= 128 else 2,
            **FUSED,
        )


@dataclass(frozen=True, slots=True)
class _Tiles:
    """One call's arguments."""

    q: torch.Tensor
    cache: KVCache
    meta: AttentionMeta
    scale: float
    window: int
    softcap: float
    variant: AttentionVariant
    shared_memory: int

    @property
    def batch(self) -> int:
        return self.meta.kv_len.shape[0]

    @property
    def group(self) -> int:
        return self.q.shape[1] // self.cache.k.shape[1]

    @property
    def heads(self) -> int:
        """Those of ``group`` that a tile has."""
        return heads_of_tile(self.group, self.q.shape[2], self.q.itemsize, self.shared_memory)

    def launch(
        self,
        out: torch.Tensor,
        log_sums: torch.Tensor,
        shape: TileShape,
        *,
        tiles: int,
        tokens: int,
        one_tile: bool,
        parts: int,
    ) -> None:
        cache, meta, num_kv_heads = self.cache, self.meta, self.cache.k.shape[1]
        value_dim, variant = cache.v.shape[2], self.variant
        rest_dim = self.q.shape[2] - value_dim
        head_tiles = triton.cdiv(self.group, self.heads)
        attend_tile[(tiles, num_kv_heads * head_tiles, parts)](
            self.q,
            cache.k,
            cache.v,
            cache.k if cache.k_scale is None else cache.k_scale,
            cache.v if cache.v_scale is None else cache.v_scale,
            out,
            log_sums,
            out if variant.slopes is None else variant.slopes,
            out if variant.sinks is None else variant.sinks,
            meta.q_indptr,
            meta.kv_slots,
            meta.kv_start,
            meta.kv_len,
            self.batch,
            self.q.stride(0),
            self.scale,
            self.softcap,
            self.window,
            variant.chunk,
            num_kv_heads=num_kv_heads,
            group=self.group,
            heads=self.heads,
            value_dim=value_dim,
            rest_dim=rest_dim,
            tokens=tokens,
            one_tile=one_tile,
            shortest=2,
            parts=parts,
            least=LEAST_PART,
            windowed=self.window > 0,
            chunked=variant.chunk > 0,
            sloped=variant.slopes is not None,
            sunk=variant.sinks is not None,
            capped=self.softcap > 0,
            scaled=cache.k_scale is not None,
            block_m=shape.block_m,
            block_n=shape.block_n,
            block_d=block_of(value_dim, least=16),
            block_r=block_of(rest_dim, least=16),
            num_warps=shape.num_warps,
            num_stages=shape.num_stages,
            **FUSED,
        )
