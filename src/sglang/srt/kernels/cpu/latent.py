"""Multi-head latent attention on a CPU, but for the attention: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.attention import BYTE_CODES, MAX_HEAD_DIM
from sglang.srt.kernels.cpu.checks import DTYPE_CODES, check_indices, describe, row_stride
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.interface import PackedExperts
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.kernels.reference import ReferenceKernels

# The C structs of the same names: addresses, then int64_t, then double.
LATENT = Struct("@8P11qd")
LINEAR_HEADS = Struct("@4P10q")


class LatentCalls:
    """The part of ``CpuKernels`` that deals with latent rows and absorbed weights.

    The arguments are those of ``ExpertCalls``.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        call: Callable[..., bool],
        new: Callable[[str, torch.Tensor, int, int, torch.dtype], torch.Tensor],
        fallback: Callable[[], ReferenceKernels],
        work: Callable[[int], None],
    ) -> None:
        self._call, self._new, self._fallback, self._work = call, new, fallback, work
        self._write = Operation(library.rope_and_write_latent, LATENT, counts_rows_at=8)
        self._multiply = Operation(library.linear_heads, LINEAR_HEADS, counts_rows_at=4)

    def rope_and_write_latent(
        self,
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
        """See ``interface.Kernels``, here and below."""
        code, kv_dtype = DTYPE_CODES.get(q.dtype), cache.k.dtype
        kv_code = code if kv_dtype == q.dtype else BYTE_CODES.get(kv_dtype)
        tokens, width = latent.shape
        if (
            code is None
            or kv_code is None
            or norm.dtype not in (q.dtype, torch.float32)
            or width > MAX_HEAD_DIM
        ):
            self._fallback().rope_and_write_latent(
                q,
                latent,
                positions,
                cos_sin,
                cache,
                out_slots,
                num_heads=num_heads,
                norm=norm,
                norm_eps=norm_eps,
                interleaved=interleaved,
            )
            return
        rotary_dim = cos_sin.shape[1]
        _check_latent(q, latent, cos_sin, norm, num_heads)
        check_indices("positions", positions, torch.int32, tokens)
        check_indices("out_slots", out_slots, torch.int32, tokens)
        rows, scale = cache.k, cache.k_scale
        if rows.shape[1:] != (1, width) or not rows.is_contiguous():
            raise ValueError(f"the cache must be contiguous [S, 1, {width}], got {describe(rows)}")
        if (scale is not None) != (kv_dtype == torch.int8):
            raise ValueError("a latent cache has scales if it is int8, and only then")
        self._call(
            self._write,
            q.data_ptr(),
            latent.data_ptr(),
            positions.data_ptr(),
            cos_sin.data_ptr(),
            norm.data_ptr(),
            rows.data_ptr(),
            0 if scale is None else scale.data_ptr(),
            out_slots.data_ptr(),
            tokens,
            row_stride("q", q),
            row_stride("latent", latent),
            num_heads,
            q.shape[1] // num_heads,
            width - rotary_dim,
            rotary_dim,
            interleaved,
            code,
            kv_code,
            DTYPE_CODES[norm.dtype],
            norm_eps,
        )

    def linear_heads(
        self, x: torch.Tensor, packed: PackedExperts, beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        data = packed.data
        code = DTYPE_CODES.get(data.dtype)
        if code is None:
            return self._fallback().linear_heads(x, packed, beside)
        heads, n, k = len(data), packed.out_features, packed.in_features
        if packed.scheme is not None or packed.bias is not None:
            raise ValueError("the matrices of heads must be plain, without scheme and bias")
        tokens, rest = x.shape[0], 0 if beside is None else beside.shape[2]
        strides = _head_strides("x", x, (heads, k), data.dtype)
        others = (0, 0)
        if beside is not None:
            others = _head_strides("beside", beside, (heads, rest), data.dtype)
        self._work(heads * n * k)
        out = self._new("heads", x, tokens, heads * (n + rest), data.dtype)
        if not self._call(
            self._multiply,
            x.data_ptr(),
            data.data_ptr(),
            0 if beside is None else beside.data_ptr(),
            out.data_ptr(),
            *(tokens, heads, n, k, rest, *strides, *others, code),
        ):
            raise MemoryError(f"no memory for the products of {tokens} rows in {heads} heads")
        return out


def _check_latent(
    q: torch.Tensor,
    latent: torch.Tensor,
    cos_sin: torch.Tensor,
    norm: torch.Tensor,
    num_heads: int,
) -> None:
    tokens, width = latent.shape
    rotary_dim = cos_sin.shape[1]
    if cos_sin.dtype != torch.float32 or not cos_sin.is_contiguous():
        raise ValueError(f"cos_sin must be contiguous float32, got {describe(cos_sin)}")
    if q.shape[0] != tokens or q.shape[1] % num_heads or latent.dtype != q.dtype:
        raise ValueError(
            f"q must be {latent.dtype} of {tokens} rows of {num_heads} heads, got {describe(q)}"
        )
    if rotary_dim % 2 or rotary_dim >= width or rotary_dim > q.shape[1] // num_heads:
        raise ValueError(
            f"the rotary dimension must be even, at most a head of q and less than {width}, "
            f"got {rotary_dim}"
        )
    if norm.shape != (width - rotary_dim,) or not norm.is_contiguous():
        raise ValueError(f"norm must be contiguous [{width - rotary_dim}], got {describe(norm)}")


def _head_strides(
    name: str, x: torch.Tensor, shape: tuple[int, int], dtype: torch.dtype
) -> tuple[int, int]:
    """Distances of the tokens and of the heads of x[T, G, n]."""
    if x.dim() != 3 or x.shape[1:] != shape or x.dtype != dtype or x.stride(2) != 1:
        raise ValueError(
            f"{name} must be [T, {shape[0]}, {shape[1]}] of {dtype} with adjacent columns, "
            f"got {describe(x)}"
        )
    return x.stride(0), x.stride(1)
