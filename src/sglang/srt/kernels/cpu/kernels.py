"""The operations on a CPU: thin calls into the compiled library.

Each method checks what the C code relies on, allocates the result and passes one struct of
addresses and sizes (one argument is much cheaper for ctypes than twenty). What the C code has no
path for (other dtypes, odd head sizes) goes to the reference. These calls are made some hundred
times a token, so the checks are plain comparisons and messages are only built when one fails.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.activation import ActivationCalls
from sglang.srt.kernels.cpu.attention import AttentionCalls
from sglang.srt.kernels.cpu.build import load_library
from sglang.srt.kernels.cpu.checks import DTYPE_CODES, check_indices, describe, row_stride
from sglang.srt.kernels.cpu.experts import Allocate, ExpertCalls, pack_experts
from sglang.srt.kernels.cpu.huge_pages import HugePages
from sglang.srt.kernels.cpu.latent import LatentCalls
from sglang.srt.kernels.cpu.norm import NormCalls
from sglang.srt.kernels.cpu.quantized_linear import QuantizedLinears
from sglang.srt.kernels.cpu.recording import Counts, NotRecordable, Operation, Recording, Tape
from sglang.srt.kernels.interface import PackedExperts, PackedLinear
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
from sglang.srt.kernels.reference import ReferenceKernels

# The C structs of the same names: addresses, then int64_t, then double.
GATHER = Struct("@3P5q")
PACK = Struct("@2P3q")
LINEAR = Struct("@4P6q")
BEST_TOKENS = Struct("@3P3q")
MASK_TOKENS = Struct("@3P4q")


class CpuKernels:
    """Implements ``interface.Kernels`` with the C library of ``csrc/``.

    ``isa`` picks a code path by name ("avx512_bf16", "avx512", "avx2", "portable"); "native" takes
    the best that this CPU has. Raises KernelBuildError where the library cannot be built.
    """

    def __init__(self, isa: str = "native") -> None:
        library = load_library(isa)
        self._reference = ReferenceKernels()
        self.draw_tokens = self._reference.draw_tokens
        library.isa_name.restype = ctypes.c_char_p
        self.isa: str = library.isa_name().decode()
        self.name = f"cpu-c ({self.isa})"
        self._gather_rows = Operation(library.gather_rows, GATHER, counts_rows_at=3)
        self._linear = Operation(library.linear, LINEAR, counts_rows_at=4)
        self._best_tokens = Operation(library.best_tokens, BEST_TOKENS, counts_rows_at=3)
        self._mask_tokens = Operation(library.mask_tokens, MASK_TOKENS, counts_rows_at=3)
        self._pack_linear = Operation(library.pack_linear, PACK, counts_rows_at=2)
        self._quantized = QuantizedLinears(library, call=self._call)
        self._replay = library.replay
        self._packed_bytes = library.packed_bytes
        self._packed_bytes.argtypes = [ctypes.c_int64] * 3
        self._packed_bytes.restype = ctypes.c_int64
        self._tape: Tape | None = None
        self._huge_pages = HugePages()
        norms = NormCalls(library, call=self._call, new=self._new, fallback=self._fallback)
        self.rms_norm, self.add_rms_norm = norms.rms_norm, norms.add_rms_norm
        self.layer_norm, self.add_layer_norm = norms.layer_norm, norms.add_layer_norm
        self.norm_groups, self.add_scaled = norms.norm_groups, norms.add_scaled
        rows = ActivationCalls(library, call=self._call, new=self._new, fallback=self._fallback)
        self.silu_and_mul, self.gelu_and_mul = rows.silu_and_mul, rows.gelu_and_mul
        self.gelu, self.clamped_swiglu = rows.gelu, rows.clamped_swiglu
        self.clamp, self.scale_rows = rows.clamp, rows.scale_rows
        attention = AttentionCalls(library, call=self._call, new=self._new, fallback=self._fallback)
        self.rope_and_write_kv = attention.rope_and_write_kv
        self.attention = attention.attention
        latent = LatentCalls(
            library, call=self._call, new=self._new, fallback=self._fallback, work=self._count_work
        )
        self.rope_and_write_latent = latent.rope_and_write_latent
        self.linear_heads = latent.linear_heads
        experts = ExpertCalls(
            library, call=self._call, new=self._new, fallback=self._fallback, work=self._count_work
        )
        self.route, self.expert_mlp = experts.route, experts.expert_mlp
        self.add_gated = experts.add_gated

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

    def use_memory_first(self, memory: mmap.mmap) -> None:
        """Have :meth:`allocate` take from ``memory``, see ``HugePages``."""
        self._huge_pages.use_first(memory)

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

    def _count_work(self, products: int) -> None:
        """``products`` multiply-adds per row."""
        if self._tape is not None:
            self._tape.work += products

    def _fallback(self) -> ReferenceKernels:
        """For what the C code has no path for."""
        if self._tape is not None:
            raise NotRecordable("an operation of this model has no C kernel")
        return self._reference

    def gather_rows(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        if table.dtype not in DTYPE_CODES:
            return self._fallback().gather_rows(table, index)
        stride = row_stride("table", table) * table.itemsize
        check_indices("index", index, torch.int32 if index.dtype == torch.int32 else torch.int64)
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
            index.itemsize,
        ):
            raise IndexError(f"an index is outside of the {table.shape[0]} rows of the table")
        return out

    def best_tokens(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if logits.dtype != torch.float32 or self._tape is not None:
            return self._fallback().best_tokens(logits)
        stride = row_stride("logits", logits)
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

    def mask_tokens(self, logits: torch.Tensor, rows: torch.Tensor, bits: torch.Tensor) -> None:
        if logits.dtype != torch.float32 or self._tape is not None:
            self._fallback().mask_tokens(logits, rows, bits)
            return
        stride = row_stride("logits", logits)
        columns = logits.shape[1]
        check_indices("rows", rows, torch.int64)
        masked, words = len(rows), (columns + 31) // 32
        if bits.shape != (masked, words) or bits.dtype != torch.int32 or not bits.is_contiguous():
            raise ValueError(
                f"bits must be contiguous int32 [{masked}, {words}], got {describe(bits)}"
            )
        if masked and not (int(rows.min()) >= 0 and int(rows.max()) < len(logits)):
            raise IndexError(f"a row is outside of the {len(logits)} rows of logits")
        self._call(
            self._mask_tokens,
            logits.data_ptr(),
            rows.data_ptr(),
            bits.data_ptr(),
            masked,
            columns,
            words,
            stride,
        )

    def quantize_weight(self, weight: torch.Tensor, scheme: WeightScheme) -> QuantizedWeight:
        code = DTYPE_CODES.get(weight.dtype)
        if code is None:
            return self._fallback().quantize_weight(weight, scheme)
        return self._quantized.quantize(weight, scheme, code)

    def pack_linear(self, weight: torch.Tensor | QuantizedWeight) -> PackedLinear:
        return self._pack(weight, self.allocate)

    def pack_experts(
        self,
        weights: Iterable[torch.Tensor | QuantizedWeight],
        count: int,
        bias: torch.Tensor | None = None,
    ) -> PackedExperts:
        return pack_experts(weights, count, bias, pack=self._pack, allocate=self.allocate)

    def _pack(self, weight: torch.Tensor | QuantizedWeight, allocate: Allocate) -> PackedLinear:
        """In memory from ``allocate``."""
        if isinstance(weight, QuantizedWeight):
            return self._quantized.pack(weight, allocate)
        if weight.dim() != 2:
            raise ValueError(f"weight must be [N, K], got {describe(weight)}")
        code = DTYPE_CODES.get(weight.dtype)
        if code is None:
            data = allocate(weight.shape, weight.dtype)
            return self._fallback().pack_linear(data.copy_(weight))
        n, k = weight.shape
        weight = weight.contiguous()
        data = allocate((self._packed_bytes(n, k, code) // weight.itemsize,), weight.dtype)
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
        data, n, scheme = packed.data, packed.out_features, packed.scheme
        dtype = data.dtype if scheme is None else x.dtype
        code = DTYPE_CODES.get(dtype)
        if code is None:
            return self._fallback().linear(x, packed, bias, out_dtype=out_dtype)
        out_code = code if out_dtype is None else DTYPE_CODES.get(out_dtype)
        if out_code is None:
            raise ValueError(f"out_dtype must be float32 or bfloat16, got {out_dtype}")
        stride = row_stride("x", x)
        rows, k = x.shape
        if x.dtype != dtype or k != packed.in_features:
            raise ValueError(f"x must be [T, {packed.in_features}] of {dtype}, got {describe(x)}")
        if bias is not None and (
            bias.shape != (n,) or bias.dtype != dtype or not bias.is_contiguous()
        ):
            raise ValueError(f"bias must be contiguous [{n}] of {dtype}, got {describe(bias)}")
        self._count_work(n * k)
        out = self._new("linear", x, rows, n, out_dtype or dtype)
        addresses = (x.data_ptr(), data.data_ptr(), 0 if bias is None else bias.data_ptr())
        sizes = (out.data_ptr(), rows, n, k, stride, code, out_code)
        if scheme is None:
            done = self._call(self._linear, *addresses, *sizes)
        else:
            done = self._quantized.multiply(scheme, *addresses, *sizes)
        if not done:
            raise MemoryError(f"no memory for the product of {rows} rows of {k}")
        return out
