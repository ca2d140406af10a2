"""Products with weights of 8 and 4 bits on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.interface import PackedLinear
from sglang.srt.kernels.quantization import (
    QuantizedWeight,
    WeightScheme,
    check_in_features,
    check_integers,
)

# The C structs of the same names: addresses, then int64_t.
QUANTIZE_WEIGHT = Struct("@3P4q")
PACK_QUANTIZED = Struct("@3P4q")
QUANTIZED_LINEAR = Struct("@4P9q")


class QuantizedLinears:
    """The part of ``CpuKernels`` that deals with quantized weights.

    ``call`` runs an operation or notes it.
    """

    def __init__(self, library: ctypes.CDLL, *, call: Callable[..., bool]) -> None:
        self._call = call
        self._quantize = Operation(library.quantize_weight, QUANTIZE_WEIGHT, counts_rows_at=3)
        self._pack = Operation(library.pack_quantized, PACK_QUANTIZED, counts_rows_at=3)
        self._products = {
            8: Operation(library.linear_int8, QUANTIZED_LINEAR, counts_rows_at=4),
            4: Operation(library.linear_int4, QUANTIZED_LINEAR, counts_rows_at=4),
        }
        self._bytes = library.quantized_bytes
        self._bytes.argtypes = [ctypes.c_int64] * 3
        self._bytes.restype = ctypes.c_int64

    def quantize(self, weight: torch.Tensor, scheme: WeightScheme, code: int) -> QuantizedWeight:
        """``code`` is that of the weight's dtype."""
        n, k = weight.shape
        check_in_features(k)
        check_integers(scheme)
        weight, group = weight.contiguous(), scheme.group_size
        codes = torch.empty(n, k, dtype=torch.int8)
        if group:
            scales = torch.empty(n, -(-k // group), dtype=torch.bfloat16)
        else:
            scales = torch.empty(n, dtype=torch.float32)
        self._call(
            self._quantize,
            weight.data_ptr(),
            codes.data_ptr(),
            scales.data_ptr(),
            n,
            k,
            code,
            group,
        )
        return QuantizedWeight(codes, scales, scheme)

    def pack(
        self,
        weight: QuantizedWeight,
        allocate: Callable[[tuple[int, ...], torch.dtype], torch.Tensor],
    ) -> PackedLinear:
        """In memory from ``allocate``.

        Raises ValueError for codes or scales that are not as ``QuantizedWeight`` says.
        """
        codes, scales, group = weight.codes, weight.scales, weight.scheme.group_size
        n, k = codes.shape
        check_in_features(k)
        shape, dtype = ((n, -(-k // group)), torch.bfloat16) if group else ((n,), torch.float32)
        if codes.dtype != torch.int8 or scales.shape != shape or scales.dtype != dtype:
            raise ValueError(
                f"{weight.scheme} of [{n}, {k}] has int8 codes and {dtype} scales {list(shape)}, "
                f"got {codes.dtype} and {scales.dtype} {list(scales.shape)}"
            )
        codes, scales = codes.contiguous(), scales.contiguous()
        data = allocate((self._bytes(n, k, group),), torch.uint8)
        addresses = (codes.data_ptr(), scales.data_ptr(), data.data_ptr())
        self._call(self._pack, *addresses, n, k, group, weight.scheme.floats)
        return PackedLinear(data, n, k, weight.scheme)

    def multiply(self, scheme: WeightScheme, *fields: int) -> bool:
        """``fields`` are those of the C struct but the last three. False if memory is out."""
        operation = self._products[scheme.bits]
        kind = (scheme.activation_bits // 8, scheme.group_size, scheme.floats)
        return self._call(operation, *fields, *kind)
