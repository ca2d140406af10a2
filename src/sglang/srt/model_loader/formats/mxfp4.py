"""Checkpoints whose experts are stored in MXFP4, as those of gpt-oss are.

The matrices [N, K] of E experts are ``blocks`` [E, N, K / 32, 16] uint8, two elements a byte, the
even one in the low half, and ``scales`` [E, N, K / 32] uint8. An element is a sign, two bits of
exponent and one of fraction; the scale of 32 of them is 2^(s - 127) (OCP Microscaling Formats 1.0,
5.3). ``gate_up_proj`` has a row of the gate, one of the other half, the next of the gate ...
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
from sglang.srt.model_loader.checkpoint import Checkpoint

BLOCK = 32
_SCHEME = WeightScheme(bits=4, group_size=BLOCK, floats=True)
_DOUBLED = (0, 1, 2, 3, 4, 6, 8, 12)
_CODES = torch.tensor(_DOUBLED + tuple(-x for x in _DOUBLED), dtype=torch.int8)
_ROWS = {
    "gate_proj": ("gate_up_proj", slice(0, None, 2)),
    "up_proj": ("gate_up_proj", slice(1, None, 2)),
    "down_proj": ("down_proj", slice(None)),
}
"""The tensor that a matrix is in, and its rows there."""
_MATRIX = re.compile(r"(.*\.experts\.)(\d+)\.(gate_proj|up_proj|down_proj)\.weight")


class MXFP4Checkpoint:
    """Each expert's matrices under the usual names, ``experts.0.gate_proj.weight`` and so on.

    One is converted when it is read; all else passes through.
    """

    def __init__(self, stored: Checkpoint, dtype: torch.dtype, *, keep_codes: bool) -> None:
        """``dtype`` is what matrices are converted to; products can have them as they are."""
        self._stored, self._dtype, self._keep_codes = stored, dtype, keep_codes
        self.total_bytes = stored.total_bytes
        self._plain = set(stored.names())
        self._matrices: set[str] = set()
        for matrix, (stack, _) in _ROWS.items():
            ending = f".experts.{stack}_blocks"
            for name in [name for name in stored.names() if name.endswith(ending)]:
                prefix = name.removesuffix(f"{stack}_blocks")
                self._plain -= {name, f"{prefix}{stack}_scales"}
                (count, *_) = self._shape(prefix + stack)
                self._matrices |= {f"{prefix}{i}.{matrix}.weight" for i in range(count)}
        self._last: tuple[str, torch.Tensor, torch.Tensor] | None = None

    def names(self) -> Iterable[str]:
        return self._plain | self._matrices

    def contains(self, name: str) -> bool:
        return name in self._plain or name in self._matrices

    def location(self, name: str) -> str:
        place = _place(name) if name in self._matrices else None
        return self._stored.location(place[0] + "_blocks" if place else name)

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        place = _place(name) if name in self._matrices else None
        if place is None:
            return self._stored.shape(name, expected)
        stack, _, rows = place
        _, count, blocks, _ = self._shape(stack)
        return len(range(count)[rows]), blocks * BLOCK

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        weight = self._read(name)
        if weight is None:
            return self._stored.read(name, expected, dim, span)
        return weight.dequantize().to(self._dtype)[(slice(None),) * dim + (span,)]

    def read_quantized(self, name: str) -> torch.Tensor | QuantizedWeight | None:
        weight = self._read(name)
        if weight is None:
            return self._stored.read_quantized(name)
        return weight if self._keep_codes else weight.dequantize().to(self._dtype)

    @property
    def bytes_read(self) -> int:
        return self._stored.bytes_read

    def close(self) -> None:
        self._stored.close()

    def _read(self, name: str) -> QuantizedWeight | None:
        place = _place(name) if name in self._matrices else None
        if place is None:
            return None
        stack, expert, rows = place
        found, key = self._last, f"{stack}.{expert}"
        if found is None or found[0] != key:  # two matrices lie in one
            shape, span = self._shape(stack), slice(expert, expert + 1)
            blocks = self._stored.read(f"{stack}_blocks", shape, 0, span)[0]
            scales = self._stored.read(f"{stack}_scales", shape[:-1], 0, span)[0]
            self._last = found = (key, blocks, scales)
        return unpack(found[1][rows], found[2][rows])

    def _shape(self, stack: str) -> tuple[int, ...]:
        """That of the blocks of a stack: [E, N, K / 32, 16]."""
        if not self._stored.contains(f"{stack}_scales"):
            raise ModelLoadError(f"missing tensor {stack}_scales beside {stack}_blocks")
        found = self._stored.shape(f"{stack}_blocks", ())
        scales = self._stored.shape(f"{stack}_scales", ())
        if len(found) != 4 or found[-1] != BLOCK // 2 or scales != found[:-1]:
            raise ModelLoadError(
                f"tensors {stack}_blocks and _scales have shapes {list(found)} and "
                f"{list(scales)}, expected [E, N, K / {BLOCK}, {BLOCK // 2}] and the same without "
                f"the last, in {self._stored.location(f'{stack}_blocks')}"
            )
        return found


def _place(name: str) -> tuple[str, int, slice] | None:
    """The stack that a matrix is in, its expert there, and its rows."""
    match = _MATRIX.fullmatch(name)
    if match is None:
        return None
    stack, rows = _ROWS[match[3]]
    return match[1] + stack, int(match[2]), rows


def unpack(blocks: torch.Tensor, scales: torch.Tensor) -> QuantizedWeight:
    """The matrix [N, K] of blocks [N, K / 32, 16] and scales [N, K / 32]."""
    nibbles = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten(1)
    halves = torch.exp2(scales.float() - 128).bfloat16()  # codes are twice the numbers
    return QuantizedWeight(_CODES[nibbles.int()], halves, _SCHEME)
