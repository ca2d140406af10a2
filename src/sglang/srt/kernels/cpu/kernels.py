"""The operations on a CPU: thin calls into the compiled library.

Each method checks what the C code relies on, allocates the result and passes one struct of
addresses and sizes (one argument is much cheaper for ctypes than twenty). What the C code has no
path for (other dtypes, odd head sizes) goes to the reference. These calls are made some hundred
times a token, so the checks are plain comparisons and messages are only built when one fails.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

import torch

from sglang.srt.kernels.cpu.build import load_library
from sglang.srt.kernels.cpu.huge_pages import HugePages
from sglang.srt.kernels.cpu.recording import Counts, NotRecordable, Operation, Recording, Tape
from sglang.srt.kernels.interface import PackedLinear
from sglang.srt.kernels.reference import ReferenceKernels

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import AttentionMeta

DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1}
MAX_HEAD_DIM = 1024

# The C structs of the same names: addresses, then int64_t, then double.
GATHER = Struct("@3P4q")
NORM = Struct("@4P4qd")
GATE = Struct("@2P4q")
ROPE = Struct("@8P8qd")
ATTENTION = Struct("@8P7q2d")
PACK = Struct("@2P3q")
LINEAR = Struct("@4P6q")
BEST_TOKENS = Struct("@3P3q")


class CpuKernels:
    """Implements ``interface.Kernels`` with the C library of ``csrc/``.

    ``isa`` picks a code path by name ("avx512_bf16", "avx512", "avx2", "portable"); "native" takes
    the best that this CPU has. Raises KernelBuildError where the library cannot be built.
    """

    def __init__(self, isa: str = "native") -> None:
        library = load_library(isa)
        self._reference = ReferenceKernels()
        library.isa_name.restype = ctypes.c_char_p
        self.isa: str = library.isa_name().decode()
        self.name = f"cpu-c ({self.isa})"
        self._rms_norm = Operation(library.rms_norm, NORM, counts_rows_at=4)
        self._silu_and_mul = Operation(library.silu_and_mul, GATE, counts_rows_at=2)
        self._rope = Operation(library.rope_and_write_kv, ROPE, counts_rows_at=8)
        self._attention = Operation(library.attention, ATTENTION, counts_rows_at=8)
        self._gather_rows = Operation(library.gather_rows, GATHER, counts_rows_at=3)
        self._linear = Operation(library.linear, LINEAR, counts_rows_at=4)
        self._best_tokens = Operation(library.best_tokens, BEST_TOKENS, counts_rows_at=3)
        self._pack_linear = Operation(library.pack_linear, PACK, counts_rows_at=2)
        self._replay = library.replay
        self._packed_bytes = library.packed_bytes
        self._packed_bytes.argtypes = [ctypes.c_int64] * 3
        self._packed_bytes.restype = ctypes.c_int64
        # The layers of a step share one AttentionMeta: it is checked once.
        self._checked_meta: AttentionMeta | None = None
        self._tape: Tape | None = None
        self._huge_pages = HugePages()

    def record(self, function: Callable[[], torch.Tensor], counts: Counts) -> Recording:
        """Note the operations that ``function`` asks for, without doing any, for replay.

        ``counts`` are the numbers of tokens, of logits rows and of sequences that the inputs have
        now, three different ones; a replay may give any numbers up to these. Everything else,
        all addresses above all, stays as it is. What ``function`` does without these kernels is
        not noted.

        Raises NotRecordable if an operation has no path in C.
        """
        self._tape = Tape(counts, self.allocate)
        try:
            result = function()
            return Recording(self._replay, self._tape, result)
        finally:
            self._tape = None

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return self._huge_pages.empty(shape, dtype)

    def _call(self, operation: Operation, *fields: float) -> bool:
        """Do it, or note it for later. False if memory is out or an index out of range."""
        packed = operation.layout.pack(*fields)
        if self._tape is None:
            return not operation.function(packed)
        self._tape.note(operation, packed)
        return True

    def _new(
        self, purpose: str, like: torch.Tensor, rows: int, columns: int, dtype: torch.dtype
    ) -> torch.Tensor:
        if self._tape is None:
            return like.new_empty((rows, columns), dtype=dtype)
        return self._tape.new(purpose, rows, columns, dtype)

    def _fallback(self) -> ReferenceKernels:
        """For what the C code has no path for."""
        if self._tape is not None:
            raise NotRecordable("an operation of this model has no C kernel")
        return self._reference

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        code = DTYPE_CODES.get(x.dtype)
        if code is None or weight.dtype != x.dtype:
            return self._fallback().rms_norm(x, weight, eps)
        return self._norm(x, None, weight, eps, code)

    def add_rms_norm(
        self, x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> torch.Tensor:
        code = DTYPE_CODES.get(x.dtype)
        if code is None or weight.dtype != x.dtype or residual.dtype != x.dtype:
            return self._fallback().add_rms_norm(x, residual, weight, eps)
        if residual.shape != x.shape or not residual.is_contiguous():
            raise ValueError(
                f"residual must be contiguous and shaped as x {tuple(x.shape)}, "
                f"got {_describe(residual)}"
            )
        return self._norm(x, residual, weight, eps, code)

    def _norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor | None,
        weight: torch.Tensor,
        eps: float,
        code: int,
    ) -> torch.Tensor:
        stride = _row_stride("x", x)
        rows, width = x.shape
        if weight.shape != (width,) or not weight.is_contiguous():
            raise ValueError(f"weight must be contiguous [{width}], got {_describe(weight)}")
        out = self._new("norm", x, rows, width, x.dtype)
        self._call(
            self._rms_norm,
            x.data_ptr(),
            0 if residual is None else residual.data_ptr(),
            weight.data_ptr(),
            out.data_ptr(),
            rows,
            width,
            stride,
            code,
            eps,
        )
        return out

    def silu_and_mul(self, x: torch.Tensor) -> torch.Tensor:
        code = DTYPE_CODES.get(x.dtype)
        if code is None:
            return self._fallback().silu_and_mul(x)
        stride = _row_stride("x", x)
        rows, both = x.shape
        if both % 2:
            raise ValueError(f"x must have an even number of columns, got {both}")
        out = self._new("gate", x, rows, both // 2, x.dtype)
        self._call(self._silu_and_mul, x.data_ptr(), out.data_ptr(), rows, both // 2, stride, code)
        return out

    def gather_rows(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        if table.dtype not in DTYPE_CODES:
            return self._fallback().gather_rows(table, index)
        stride = _row_stride("table", table) * table.itemsize
        _check_indices("index", index, torch.int64)
        rows, width = index.shape[0], table.shape[1]
        out = self._new("gather", table, rows, width, table.dtype)
        row_bytes = width * table.itemsize
        if not self._call(
            self._gather_rows,
            table.data_ptr(),
            index.data_ptr(),
            out.data_ptr(),
            rows,
            table.shape[0],
            row_bytes,
            stride,
        ):
            raise IndexError(f"an index is outside of the {table.shape[0]} rows of the table")
        return out

    def best_tokens(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if logits.dtype != torch.float32 or self._tape is not None:
            return self._fallback().best_tokens(logits)
        stride = _row_stride("logits", logits)
        rows, columns = logits.shape
        if columns == 0:
            raise ValueError("logits must have at least one column")
        values = logits.new_empty(rows)
        indices = logits.new_empty(rows, dtype=torch.int64)
        self._call(
            self._best_tokens,
            logits.data_ptr(),
            values.data_ptr(),
            indices.data_ptr(),
            rows,
            columns,
            stride,
        )
        return values, indices

    def rope_and_write_kv(
        self,
        qkv: torch.Tensor,
        positions: torch.Tensor,
        cos_sin: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
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
        dtype = qkv.dtype
        code = DTYPE_CODES.get(dtype)
        if (
            code is None
            or k_cache.dtype != dtype
            or v_cache.dtype != dtype
            or (q_norm is not None and q_norm.dtype != dtype)
            or (k_norm is not None and k_norm.dtype != dtype)
            or head_dim > MAX_HEAD_DIM
        ):
            self._fallback().rope_and_write_kv(
                qkv,
                positions,
                cos_sin,
                k_cache,
                v_cache,
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
        stride = _row_stride("qkv", qkv)
        tokens, width = qkv.shape
        rotary_dim = cos_sin.shape[1]
        if width != (num_heads + 2 * num_kv_heads) * head_dim:
            raise ValueError(
                f"qkv must have ({num_heads} + 2 * {num_kv_heads}) * {head_dim} columns, "
                f"got {width}"
            )
        if cos_sin.dtype != torch.float32 or not cos_sin.is_contiguous():
            raise ValueError(f"cos_sin must be contiguous float32, got {_describe(cos_sin)}")
        if rotary_dim > head_dim or rotary_dim % 2:
            raise ValueError(
                f"the rotary dimension must be even and at most {head_dim}, got {rotary_dim}"
            )
        _check_indices("positions", positions, torch.int32, tokens)
        _check_indices("out_slots", out_slots, torch.int32, tokens)
        _check_cache("k_cache", k_cache, num_kv_heads, head_dim)
        _check_cache("v_cache", v_cache, num_kv_heads, head_dim)
        for name, norm in (("q_norm", q_norm), ("k_norm", k_norm)):
            if norm is not None and (norm.shape != (head_dim,) or not norm.is_contiguous()):
                raise ValueError(f"{name} must be contiguous [{head_dim}], got {_describe(norm)}")
        self._call(
            self._rope,
            qkv.data_ptr(),
            positions.data_ptr(),
            cos_sin.data_ptr(),
            k_cache.data_ptr(),
            v_cache.data_ptr(),
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
            norm_eps,
        )

    def attention(
        self,
        q: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        meta: AttentionMeta,
        *,
        scale: float,
        window: int,
        softcap: float,
    ) -> torch.Tensor:
        dtype = q.dtype
        code = DTYPE_CODES.get(dtype)
        tokens, num_heads, head_dim = q.shape
        if (
            code is None
            or k_cache.dtype != dtype
            or v_cache.dtype != dtype
            or head_dim % 8
            or head_dim > MAX_HEAD_DIM
        ):
            return self._fallback().attention(
                q, k_cache, v_cache, meta, scale=scale, window=window, softcap=softcap
            )
        token_stride, head_stride, item_stride = q.stride()
        num_kv_heads = k_cache.shape[1]
        if item_stride != 1 or head_stride != head_dim:
            raise ValueError(f"the last two dimensions of q must be adjacent, got {_describe(q)}")
        if num_heads % num_kv_heads:
            raise ValueError(
                f"{num_heads} query heads are no multiple of {num_kv_heads} key/value heads"
            )
        _check_cache("k_cache", k_cache, num_kv_heads, head_dim)
        _check_cache("v_cache", v_cache, num_kv_heads, head_dim)
        batch = meta.kv_len.shape[0]
        if meta is not self._checked_meta:
            _check_indices("q_indptr", meta.q_indptr, torch.int32, batch + 1)
            _check_indices("kv_slots", meta.kv_slots, torch.int32)
            _check_indices("kv_start", meta.kv_start, torch.int64, batch)
            _check_indices("kv_len", meta.kv_len, torch.int32, batch)
            self._checked_meta = meta
        out = self._new("attention", q, tokens, num_heads * head_dim, dtype)
        if not self._call(
            self._attention,
            q.data_ptr(),
            k_cache.data_ptr(),
            v_cache.data_ptr(),
            out.data_ptr(),
            meta.q_indptr.data_ptr(),
            meta.kv_slots.data_ptr(),
            meta.kv_start.data_ptr(),
            meta.kv_len.data_ptr(),
            batch,
            token_stride,
            num_heads,
            num_kv_heads,
            head_dim,
            window,
            code,
            scale,
            softcap,
        ):
            raise MemoryError(f"no memory for the attention of {tokens} tokens")
        return out

    def pack_linear(self, weight: torch.Tensor) -> PackedLinear:
        if weight.dim() != 2:
            raise ValueError(f"weight must be [N, K], got {_describe(weight)}")
        code = DTYPE_CODES.get(weight.dtype)
        if code is None:
            return self._fallback().pack_linear(weight)
        n, k = weight.shape
        weight = weight.contiguous()
        data = self.allocate((self._packed_bytes(n, k, code) // weight.itemsize,), weight.dtype)
        self._call(self._pack_linear, weight.data_ptr(), data.data_ptr(), n, k, code)
        return PackedLinear(data, n, k)

    def linear(
        self,
        x: torch.Tensor,
        packed: PackedLinear,
        bias: torch.Tensor | None = None,
        *,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        data, n = packed.data, packed.out_features
        dtype = data.dtype
        code = DTYPE_CODES.get(dtype)
        if code is None:
            return self._fallback().linear(x, packed, bias, out_dtype=out_dtype)
        out_code = code if out_dtype is None else DTYPE_CODES.get(out_dtype)
        if out_code is None:
            raise ValueError(f"out_dtype must be float32 or bfloat16, got {out_dtype}")
        stride = _row_stride("x", x)
        rows, k = x.shape
        if x.dtype != dtype or k != packed.in_features:
            raise ValueError(f"x must be [T, {packed.in_features}] of {dtype}, got {_describe(x)}")
        if bias is not None and (
            bias.shape != (n,) or bias.dtype != dtype or not bias.is_contiguous()
        ):
            raise ValueError(f"bias must be contiguous [{n}] of {dtype}, got {_describe(bias)}")
        if self._tape is not None:
            self._tape.work += n * k
        out = self._new("linear", x, rows, n, out_dtype or dtype)
        if not self._call(
            self._linear,
            x.data_ptr(),
            data.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            out.data_ptr(),
            rows,
            n,
            k,
            stride,
            code,
            out_code,
        ):
            raise MemoryError(f"no memory for the product of {rows} rows of {k}")
        return out


def _row_stride(name: str, x: torch.Tensor) -> int:
    """Distance of the rows of x[T, n], whose columns must be adjacent."""
    strides = x.stride()
    if len(strides) != 2 or (strides[1] != 1 and x.shape[1] > 1):
        raise ValueError(f"{name} must be [T, n] with adjacent columns, got {_describe(x)}")
    return strides[0]


def _check_indices(
    name: str, x: torch.Tensor, dtype: torch.dtype, length: int | None = None
) -> None:
    if (
        x.dtype != dtype
        or x.dim() != 1
        or not x.is_contiguous()
        or (length is not None and x.shape[0] != length)
    ):
        wanted = "any number of" if length is None else length
        raise ValueError(f"{name} must be {wanted} contiguous {dtype}, got {_describe(x)}")


def _check_cache(name: str, cache: torch.Tensor, num_kv_heads: int, head_dim: int) -> None:
    shape = cache.shape
    if (
        len(shape) != 3
        or shape[1] != num_kv_heads
        or shape[2] != head_dim
        or not cache.is_contiguous()
    ):
        raise ValueError(
            f"{name} must be contiguous [slots, {num_kv_heads}, {head_dim}], got {_describe(cache)}"
        )


def _describe(x: torch.Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)} and stride {x.stride()}"
