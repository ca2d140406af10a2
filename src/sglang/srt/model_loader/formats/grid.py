"""A quantized matrix, whichever format it was stored in: codes, scales and zero points."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.quantization import GROUP_SIZES, QuantizedWeight, WeightScheme

_CHUNK = 1 << 18
"""Elements that are converted at once: what is made on the way stays in the cache."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A matrix [N, K]: ``(code - zero) * scale``, with a scale for a block of the matrix.

    A block has ``group_rows`` rows and ``group_size`` columns, so that R = ceil(N / group_rows)
    and G = ceil(K / group_size).
    """

    codes: torch.Tensor
    """[N, K]: integers, float8, or numbers of a table."""
    scales: torch.Tensor
    """[R, G], any floating dtype."""
    group_size: int
    zeros: torch.Tensor | None = None
    """[R, G] as the scales; None: all are zero."""
    group_rows: int = 1
    groups: torch.Tensor | None = None
    """[K] the group of each column, where the columns of a group are not side by side."""
    bits: int = 0
    """Of integer codes, which then are -2^(bits-1) .. 2^(bits-1) - 1 or, with zeros, any of as
    many values; 0: the codes are no integers."""
    activation_bits: int = 16
    """What products with 8-bit codes may round activations to."""

    def dequantize(self, dtype: torch.dtype) -> torch.Tensor:
        """The matrix [N, K], computed in float32 and rounded once."""
        rows, columns = self.codes.shape
        out = torch.empty(rows, columns, dtype=dtype)
        step = max(1, _CHUNK // max(columns, 1))
        for first in range(0, rows, step):
            part = slice(first, min(first + step, rows))
            self._convert(part, out[part])
        return out

    def _convert(self, rows: slice, out: torch.Tensor) -> None:
        wide = _to_float(self.codes[rows])
        columns = self.groups
        if columns is None and wide.shape[1] % self.group_size == 0:
            shaped = wide.view(len(wide), -1, self.group_size)
        else:
            shaped = wide.unsqueeze(-1)
            if columns is None:
                columns = torch.arange(wide.shape[1]) // self.group_size
        if self.zeros is not None:
            shaped.sub_(self._of_rows(self.zeros, rows, columns))
        shaped.mul_(self._of_rows(self.scales, rows, columns))
        out.copy_(wide)

    def _of_rows(
        self, values: torch.Tensor, rows: slice, columns: torch.Tensor | None
    ) -> torch.Tensor:
        """``values`` [R, G] of these rows, [rows, G, 1], or of each of their ``columns``."""
        if self.group_rows == 1:
            values = values[rows]
        else:
            values = values[torch.arange(rows.start, rows.stop) // self.group_rows]
        values = values.float()
        return (values if columns is None else values.index_select(1, columns)).unsqueeze(-1)

    def for_kernels(self) -> QuantizedWeight | None:
        """The same integers for the kernels, if theirs are of that form: scales become bfloat16
        with 4 bits, where groups must be of a size that the kernels have.
        """
        if self.groups is not None or self.group_rows != 1:
            return None
        if self.bits == 4 and self.group_size in GROUP_SIZES:
            return self._four_bits()
        columns = self.codes.shape[1]
        whole = self.bits == 8 and self.zeros is None and self.group_size >= columns
        if whole and int(self.codes.min()) > -128:
            scheme = WeightScheme(bits=8, activation_bits=self.activation_bits)
            return QuantizedWeight(self.codes, self.scales[:, 0].float().contiguous(), scheme)
        return None

    def _four_bits(self) -> QuantizedWeight:
        scales = self.scales.bfloat16().contiguous()
        scheme = WeightScheme(4, self.group_size, zeros=self.zeros is not None)
        if self.zeros is None:
            return QuantizedWeight(self.codes, scales, scheme)
        shift = 8 if int(self.codes.max()) > 7 else 0  # codes are 0 .. 15, or around zero already
        codes = self.codes.to(torch.int8) - shift
        return QuantizedWeight(codes, scales, scheme, (self.zeros.float() - shift).bfloat16())


def _to_float(codes: torch.Tensor) -> torch.Tensor:
    """Codes as float32, a new tensor.

    A float8_e4m3fn is a float16 with the same digits and an exponent that is 8 less, which is
    several times as fast to make as what torch does; but it has no code for NaN.
    """
    if codes.dtype != torch.float8_e4m3fn:
        return codes.to(torch.float32, copy=True)
    bits = codes.view(torch.int8).to(torch.int16)
    small = bits.bitwise_left_shift_(7).bitwise_and_(-0x4001).view(torch.float16)
    if small.numel() and float(small.abs().amax()) * 256 > 448:
        return codes.float()
    return small.float().mul_(256)


def unpack(words: torch.Tensor, bits: int) -> torch.Tensor:
    """The unsigned numbers in 32-bit ``words`` [R, W], the lowest bits first: [R, 32 W / bits].

    ``bits`` is 2, 4, 8, or 3: then three words hold 32 numbers, some across the border of two.
    Returns uint8.
    """
    rows = words.shape[0]
    if bits == 3:
        return _unpack_threes(words)
    data = words.contiguous().view(torch.uint8)
    if bits == 8:
        return data
    per_byte = 8 // bits
    out = torch.empty(rows, data.shape[1], per_byte, dtype=torch.uint8)
    for index in range(per_byte):
        torch.bitwise_and(data >> (bits * index), (1 << bits) - 1, out=out[:, :, index])
    return out.view(rows, -1)


def _unpack_threes(words: torch.Tensor) -> torch.Tensor:
    rows = words.shape[0]
    if words.shape[1] % 3:
        raise ModelLoadError(f"3-bit numbers come in threes of words, not in {words.shape[1]}")
    triples = words.contiguous().view(rows, -1, 3).to(torch.int64) & 0xFFFFFFFF
    out = torch.empty(rows, triples.shape[1], 32, dtype=torch.uint8)
    for index in range(32):
        word, shift = divmod(3 * index, 32)
        value = triples[:, :, word] >> shift
        if shift > 29:
            value = value | triples[:, :, word + 1] << (32 - shift)
        out[:, :, index] = value & 7
    return out.view(rows, -1)
