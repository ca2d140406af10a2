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
    check_made,
)

# The C structs of the same names: addresses, then int64_t.
QUANTIZE_WEIGHT = Struct("@3P4q")
PACK_QUANTIZED = Struct("@4P4q")
QUANTIZED_LINEAR = Struct("@4P9q")


def form_of(scheme: WeightScheme) -> int:
    """What 4-bit codes are: one of FORM_INTEGERS, FORM_FLOATS and FORM_ZEROS in C."""
    return 1 if scheme.floats else 2 if scheme.zeros else 0


class QuantizedLinears:
    """The part of ``CpuKernels`` that deals with quantized weights.

    ``call`` runs an operation or notes it.
    """

    def __init__(self, library: ctypes.CDLL, *, call: Callable[..., bool]) -> None:
        self._call = call
        self._quantize = Operation(library.quantize_weight, QUANTIZE_WEIGHT, counts_rows_at=3)
        self._pack = Operation(library.pack_quantized, PACK_QUANTIZED, counts_rows_at=4)
        self._products = {
            8: Operation(library.linear_int8, QUANTIZED_LINEAR, counts_rows_at=4),
            4: Operation(library.linear_int4, QUANTIZED_LINEAR, counts_rows_at=4),
        }
        self._bytes = library.quantized_bytes
        self._bytes.argtypes = [ctypes.c_int64] * 4
        self._bytes.restype = ctypes.c_int64

    def quantize(self, weight: torch.Tensor, scheme: WeightScheme, code: int) -> QuantizedWeight:
        """``code`` is that of the weight's dtype."""
        n, k = weight.shape
        check_in_features(k)
        check_made(scheme)
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

        Raises ValueError for tensors that are not as ``QuantizedWeight`` says.
        """
        weight.check()
        check_in_features(weight.codes.shape[1])
        (n, k), group, form = weight.codes.shape, weight.scheme.group_size, form_of(weight.scheme)
        codes, scales = weight.codes.contiguous(), weight.scales.contiguous()
        zeros = scales if weight.zeros is None else weight.zeros.contiguous()
        data = allocate((self._bytes(n, k, group, form),), torch.uint8)
        addresses = (codes.data_ptr(), scales.data_ptr(), zeros.data_ptr(), data.data_ptr())
        self._call(self._pack, *addresses, n, k, group, form)
        return PackedLinear(data, n, k, weight.scheme)

    def multiply(self, scheme: WeightScheme, *fields: int) -> bool:
        """``fields`` are those of the C struct but the last three. False if memory is out."""
        operation = self._products[scheme.bits]
        kind = (scheme.activation_bits // 8, scheme.group_size, form_of(scheme))
        return self._call(operation, *fields, *kind)
