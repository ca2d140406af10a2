"""Keys, values and attention on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

import torch

from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant, BlockSparsity
from sglang.srt.kernels.cpu.checks import DTYPE_CODES, check_indices, describe, row_stride
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.kernels.reference import ReferenceKernels

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import AttentionMeta

MAX_HEAD_DIM = 1024
SPARSE_BLOCK = 64
"""The blocks of block-sparse attention are multiples of this."""
BYTE_CODES = {torch.float8_e5m2: 2, torch.float8_e4m3fn: 3, torch.int8: 4}

# The C structs of the same names: addresses, then int64_t, then double.
ROPE = Struct("@10P10qd")
ATTENTION = Struct("@12P14q2d")


class AttentionCalls:
    """The part of ``CpuKernels`` that deals with keys and values.

    ``call`` runs an operation or notes it, ``new`` makes room for a result, ``fallback`` is for
    what the C code has no path for.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        call: Callable[..., bool],
        new: Callable[[str, torch.Tensor, int, int, torch.dtype], torch.Tensor],
        fallback: Callable[[], ReferenceKernels],
    ) -> None:
        self._call, self._new, self._fallback = call, new, fallback
        self._rope = Operation(library.rope_and_write_kv, ROPE, counts_rows_at=10)
        self._attention = Operation(library.attention, ATTENTION, counts_rows_at=12)
        # The layers of a step share one AttentionMeta: it is checked once.
        self._checked_meta: AttentionMeta | None = None

    def rope_and_write_kv(
        self,
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
        dtype = qkv.dtype
        code, kv_code = DTYPE_CODES.get(dtype), _kv_code(cache, dtype)
        norm_code = _norm_code(q_norm, k_norm, dtype)
        if code is None or kv_code is None or norm_code is None or head_dim > MAX_HEAD_DIM:
            self._fallback().rope_and_write_kv(
                qkv,
                positions,
                cos_sin,
                cache,
                out_slots,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=head_dim,
                q_norm=q_norm,
                k_norm=k_norm,
                norm_eps=norm_eps,
                interleaved=interleaved,
            )
            return
        stride = row_stride("qkv", qkv)
        tokens, width = qkv.shape
        rotary_dim = cos_sin.shape[1]
        if width != (num_heads + 2 * num_kv_heads) * head_dim:
            raise ValueError(
                f"qkv must have ({num_heads} + 2 * {num_kv_heads}) * {head_dim} columns, "
                f"got {width}"
            )
        if cos_sin.dtype != torch.float32 or not cos_sin.is_contiguous():
            raise ValueError(f"cos_sin must be contiguous float32, got {describe(cos_sin)}")
        if rotary_dim > head_dim or rotary_dim % 2:
            raise ValueError(
                f"the rotary dimension must be even and at most {head_dim}, got {rotary_dim}"
            )
        check_indices("positions", positions, torch.int32, tokens)
        check_indices("out_slots", out_slots, torch.int32, tokens)
        _check_cache(cache, num_kv_heads, head_dim)
        for name, norm in (("q_norm", q_norm), ("k_norm", k_norm)):
            if norm is not None and (norm.shape != (head_dim,) or not norm.is_contiguous()):
                raise ValueError(f"{name} must be contiguous [{head_dim}], got {describe(norm)}")
        self._call(
            self._rope,
            qkv.data_ptr(),
            positions.data_ptr(),
            cos_sin.data_ptr(),
            *_addresses(cache),
            out_slots.data_ptr(),
            0 if q_norm is None else q_norm.data_ptr(),
            0 if k_norm is None else k_norm.data_ptr(),
            tokens,
            stride,
            num_heads,
            num_kv_heads,
            head_dim,
            rotary_dim,
            interleaved,
            code,
            kv_code,
            norm_code,
            norm_eps,
        )

    def attention(
        self,
        q: torch.Tensor,
        cache: KVCache,
        meta: AttentionMeta,
        *,
        scale: float,
        window: int,
        softcap: float,
        variant: AttentionVariant = PLAIN,
    ) -> torch.Tensor:
        """See ``interface.Kernels``."""
        dtype = q.dtype
        code, kv_code = DTYPE_CODES.get(dtype), _kv_code(cache, dtype)
        tokens, num_heads, head_dim = q.shape
        value_dim = cache.v.shape[2]
        if (
            code is None
            or kv_code is None
            or head_dim % 8
            or value_dim % 8
            or head_dim > MAX_HEAD_DIM
            or (variant.sparsity is not None and variant.sparsity.block_size % SPARSE_BLOCK)
        ):
            return self._fallback().attention(
                q, cache, meta, scale=scale, window=window, softcap=softcap, variant=variant
            )
        token_stride, head_stride, item_stride = q.stride()
        num_kv_heads = cache.k.shape[1]
        if item_stride != 1 or head_stride != head_dim:
            raise ValueError(f"the last two dimensions of q must be adjacent, got {describe(q)}")
        if num_heads % num_kv_heads:
            raise ValueError(
                f"{num_heads} query heads are no multiple of {num_kv_heads} key/value heads"
            )
        _check_cache(cache, num_kv_heads, head_dim)
        batch = meta.kv_len.shape[0]
        if meta is not self._checked_meta:
            check_indices("q_indptr", meta.q_indptr, torch.int32, batch + 1)
            check_indices("kv_slots", meta.kv_slots, torch.int32)
            check_indices("kv_start", meta.kv_start, torch.int64, batch)
            check_indices("kv_len", meta.kv_len, torch.int32, batch)
            self._checked_meta = meta
        out = self._new("attention", q, tokens, num_heads * value_dim, dtype)
        if not self._call(
            self._attention,
            q.data_ptr(),
            *_addresses(cache),
            out.data_ptr(),
            meta.q_indptr.data_ptr(),
            meta.kv_slots.data_ptr(),
            meta.kv_start.data_ptr(),
            meta.kv_len.data_ptr(),
            _head_values("slopes", variant.slopes, num_heads),
            _head_values("sinks", variant.sinks, num_heads),
            batch,
            token_stride,
            num_heads,
            num_kv_heads,
            head_dim,
            value_dim,
            window,
            code,
            kv_code,
            variant.chunk,
            *_pattern(variant.sparsity),
            scale,
            softcap,
        ):
            raise MemoryError(f"no memory for the attention of {tokens} tokens")
        return out


def _head_values(name: str, x: torch.Tensor | None, num_heads: int) -> int:
    """The address of one number a query head; 0 for none."""
    if x is None:
        return 0
    if x.shape != (num_heads,) or x.dtype != torch.float32 or not x.is_contiguous():
        raise ValueError(f"{name} must be contiguous float32 [{num_heads}], got {describe(x)}")
    return x.data_ptr()


def _pattern(sparsity: BlockSparsity | None) -> tuple[int, int, int, int]:
    if sparsity is None:
        return 0, 0, 0, 0
    return sparsity.block_size, sparsity.local_blocks, sparsity.stride, sparsity.head_step


def _kv_code(cache: KVCache, dtype: torch.dtype) -> int | None:
    """The cache's type, if the C code reads it beside activations of ``dtype``."""
    kv_dtype = cache.k.dtype
    if cache.v.dtype != kv_dtype:
        return None
    return DTYPE_CODES.get(dtype) if kv_dtype == dtype else BYTE_CODES.get(kv_dtype)


def _norm_code(
    q_norm: torch.Tensor | None, k_norm: torch.Tensor | None, dtype: torch.dtype
) -> int | None:
    """The type of both norms' weights, if the C code reads it beside that of the heads."""
    kinds = {norm.dtype for norm in (q_norm, k_norm) if norm is not None} or {dtype}
    return DTYPE_CODES.get(kinds.pop()) if kinds in ({dtype}, {torch.float32}) else None


def _addresses(cache: KVCache) -> tuple[int, int, int, int]:
    k_scale, v_scale = cache.k_scale, cache.v_scale
    return (
        cache.k.data_ptr(),
        cache.v.data_ptr(),
        0 if k_scale is None else k_scale.data_ptr(),
        0 if v_scale is None else v_scale.data_ptr(),
    )


def _check_cache(cache: KVCache, num_kv_heads: int, head_dim: int) -> None:
    k, v = cache.k, cache.v
    latent = v.shape[2] < k.shape[2] and v.data_ptr() == k.data_ptr() and v.stride() == k.stride()
    for name, x in (("k", k),) if latent else (("k", k), ("v", v)):
        shape = x.shape
        if (
            len(shape) != 3
            or shape[1] != num_kv_heads
            or shape[2] != head_dim
            or not x.is_contiguous()
        ):
            raise ValueError(
                f"{name} of the cache must be contiguous [slots, {num_kv_heads}, {head_dim}], "
                f"got {describe(x)}"
            )
    if cache.k.dtype == torch.int8:
        _check_scales(cache)


def _check_scales(cache: KVCache) -> None:
    for name, x in (("k_scale", cache.k_scale), ("v_scale", cache.v_scale)):
        if (
            x is None
            or x.dtype != torch.float32
            or x.shape != cache.k.shape[:2]
            or not x.is_contiguous()
        ):
            got = "none" if x is None else describe(x)
            raise ValueError(
                f"{name} of an int8 cache must be contiguous float32 "
                f"{list(cache.k.shape[:2])}, got {got}"
            )
