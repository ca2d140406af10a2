"""Blocks of quantized numbers as GGUF files have them.

A row of a matrix is cut into blocks of 32 or 256 elements with scales of their own. The layouts are
those of ggml (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h): ``Qb_0`` is code *
scale, ``Qb_1`` adds a minimum, and ``Qb_K`` has scales of parts of a block that are integers
themselves.
Each function turns blocks [B, bytes] uint8 into their elements [B, elements] float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sglang.srt.configs.gguf_file import GGUFTensor
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme, from_minima

_CHUNK = 1 << 18
"""Elements that are converted at once: what is made on the way stays in the cache."""

_PLAIN = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
}


def is_plain(tensor: GGUFTensor) -> bool:
    """Whether the elements are numbers as torch has them."""
    return tensor.type.name in _PLAIN


def to_torch(tensor: GGUFTensor, rows: slice, dtype: torch.dtype) -> torch.Tensor:
    """Rows ``rows`` of the tensor as a matrix [rows, elements] of ``dtype``.

    Plain elements come as they are stored, without a copy: a view of the mapped file.
    """
    data = _rows(tensor, rows)
    if is_plain(tensor):
        return data.view(_PLAIN[tensor.type.name])
    convert = _CONVERSIONS[tensor.type.name]
    columns = tensor.shape[-1]
    out = torch.empty(len(data), columns, dtype=dtype)
    step = max(1, _CHUNK // columns)
    for first in range(0, len(data), step):
        part = data[first : first + step]
        blocks = part.reshape(-1, tensor.type.block_bytes)
        out[first : first + step] = convert(blocks).view(len(part), columns)
    return out


def to_integers(tensor: GGUFTensor, rows: slice) -> QuantizedWeight | None:
    """The same as integers of the kernels, None if its type is none of theirs."""
    kind = tensor.type.name
    if kind not in ("Q4_0", "Q4_1", "Q4_K"):
        return None
    data = _rows(tensor, rows)
    shape = len(data), tensor.shape[-1]
    blocks = data.reshape(-1, tensor.type.block_bytes)
    if kind == "Q4_0":
        codes = _nibbles(blocks[:, 2:]).view(torch.int8) - 8
        scales = _half(blocks, 0).view(len(data), -1).bfloat16()
        return QuantizedWeight(codes.view(shape), scales, WeightScheme(4, 32))
    if kind == "Q4_1":
        codes, scales, minima = _nibbles(blocks[:, 4:]), _half(blocks, 0), _half(blocks, 2)
    else:
        codes = _nibbles(blocks[:, 16:].view(-1, 4, 32))
        scales, minima = _wide_scales_and_minima(blocks)
    parts = (part.reshape(len(data), -1) for part in (scales, minima))
    return from_minima(codes.view(torch.int8).reshape(shape), *parts)


def _rows(tensor: GGUFTensor, rows: slice) -> torch.Tensor:
    data = torch.from_numpy(tensor.data[rows])
    return data if data.data_ptr() % 8 == 0 else data.clone()


# -- parts of a block ---------------------------------------------------------------------------


def _half(blocks: torch.Tensor, at: int) -> torch.Tensor:
    """The float16 at byte ``at`` of each block: [B, 1] float32."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(data: torch.Tensor) -> torch.Tensor:
    """[B, n] as [B, 2 n] uint8: the low halves of all bytes, then the high ones."""
    return torch.cat((data & 15, data >> 4), dim=-1)


def _fifth_bits(blocks: torch.Tensor, at: int) -> torch.Tensor:
    """The 32 bits at byte ``at`` of each block, lowest first, each as 0 or 16: [B, 32] uint8."""
    data = blocks[:, at : at + 4].unsqueeze(-1)
    shifts = torch.arange(8, dtype=torch.uint8)
    return ((data >> shifts & 1) << 4).flatten(1)


def _scales_and_minima(packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eight 6-bit scales and eight 6-bit minima of [B, 12] bytes: [B, 8, 1] float32 each."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((first & 63, third & 15 | first >> 6 << 4), dim=1)
    minima = torch.cat((second & 63, third >> 4 | second >> 6 << 4), dim=1)
    return scales.float().unsqueeze(-1), minima.float().unsqueeze(-1)


# -- blocks of 32 -------------------------------------------------------------------------------


def _q4_0(blocks: torch.Tensor) -> torch.Tensor:
    return (_nibbles(blocks[:, 2:]).float() - 8) * _half(blocks, 0)


def _q4_1(blocks: torch.Tensor) -> torch.Tensor:
    return _nibbles(blocks[:, 4:]).float() * _half(blocks, 0) + _half(blocks, 2)


def _q5_0(blocks: torch.Tensor) -> torch.Tensor:
    codes = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2)
    return (codes.float() - 16) * _half(blocks, 0)


def _q5_1(blocks: torch.Tensor) -> torch.Tensor:
    codes = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4)
    return codes.float() * _half(blocks, 0) + _half(blocks, 2)


def _q8_0(blocks: torch.Tensor) -> torch.Tensor:
    return blocks[:, 2:].view(torch.int8).float() * _half(blocks, 0)


_NON_LINEAR = torch.tensor(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113],
    dtype=torch.float32,
)


def _iq4_nl(blocks: torch.Tensor) -> torch.Tensor:
    return _NON_LINEAR[_nibbles(blocks[:, 2:]).int()] * _half(blocks, 0)


_FP4 = torch.tensor(
    [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=torch.float32
)
"""E2M1: https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf."""


def _mxfp4(blocks: torch.Tensor) -> torch.Tensor:
    scales = torch.exp2(blocks[:, :1].float() - 127)
    return _FP4[_nibbles(blocks[:, 1:]).int()] * scales


# -- blocks of 256 ------------------------------------------------------------------------------


def _q2_k(blocks: torch.Tensor) -> torch.Tensor:
    """16 parts of 16; two halves of 128 have their elements in 32 bytes, 2 bits a part."""
    scales = blocks[:, :16].unsqueeze(-1)
    codes = _two_bits(blocks[:, 16:80]).view(-1, 16, 16).float()
    scale, minimum = _half(blocks, 80).unsqueeze(-1), _half(blocks, 82).unsqueeze(-1)
    return scale * (scales & 15) * codes - minimum * (scales >> 4)


def _q3_k(blocks: torch.Tensor) -> torch.Tensor:
    """As 2 bits, with a third bit in a mask: bit i of byte k is for element k of part pair i."""
    shifts = torch.arange(8, dtype=torch.uint8).view(8, 1)
    high = (blocks[:, :32].unsqueeze(1) >> shifts & 1) << 2
    codes = _two_bits(blocks[:, 32:96]).view(-1, 8, 32) | high
    low = torch.cat((blocks[:, 96:104] & 15, blocks[:, 96:104] >> 4), dim=1)
    pairs = torch.arange(0, 8, 2, dtype=torch.uint8).view(4, 1)
    top = (blocks[:, 104:108].unsqueeze(1) >> pairs & 3).flatten(1)
    scales = ((low | top << 4).float() - 32).unsqueeze(-1)
    return _half(blocks, 108).unsqueeze(-1) * scales * (codes.view(-1, 16, 16).float() - 4)


def _two_bits(data: torch.Tensor) -> torch.Tensor:
    """[B, 64] as [B, 2, 4, 32] uint8: each half of the bytes, four times, two bits further."""
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8).view(4, 1)
    return data.view(-1, 2, 1, 32) >> shifts & 3


def _q4_k(blocks: torch.Tensor) -> torch.Tensor:
    """8 parts of 32; each 32 bytes hold two parts."""
    codes = _nibbles(blocks[:, 16:].view(-1, 4, 32)).view(-1, 8, 32)
    return _scaled_k(blocks, codes)


def _q5_k(blocks: torch.Tensor) -> torch.Tensor:
    """As 4 bits, with a fifth bit in a mask: bit i of byte k is for element k of part i."""
    shifts = torch.arange(8, dtype=torch.uint8).view(8, 1)
    high = (blocks[:, 16:48].unsqueeze(1) >> shifts & 1) << 4
    codes = _nibbles(blocks[:, 48:].view(-1, 4, 32)).view(-1, 8, 32)
    return _scaled_k(blocks, codes | high)


def _scaled_k(blocks: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    scales, minima = _wide_scales_and_minima(blocks)
    return scales * codes.float() + minima


def _wide_scales_and_minima(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the eight parts of blocks of Q4_K or Q5_K, multiplied out: [B, 8, 1] each."""
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    scale, minimum = _half(blocks, 0).unsqueeze(-1), _half(blocks, 2).unsqueeze(-1)
    return scale * scales, -minimum * minima


def _q6_k(blocks: torch.Tensor) -> torch.Tensor:
    """16 parts of 16; halves of 128 have 64 bytes of low nibbles and 32 of the two bits above."""
    low = _nibbles(blocks[:, :128].view(-1, 2, 64)).view(-1, 2, 4, 32)
    codes = low | _two_bits(blocks[:, 128:192]) << 4
    scales = blocks[:, 192:208].view(torch.int8).float().unsqueeze(-1)
    return _half(blocks, 208).unsqueeze(-1) * scales * (codes.view(-1, 16, 16).float() - 32)


_CONVERSIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "IQ4_NL": _iq4_nl,
    "MXFP4": _mxfp4,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_0": _q8_0,
}
