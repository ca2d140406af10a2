"""AWQ checkpoints: 4-bit integers with a zero point for each group of inputs.

A matrix of N outputs and K inputs is ``qweight`` [K, N / 8] int32, ``qzeros`` [K / g, N / 8] int32
and ``scales`` [K / g, N] (the "gemm" layout of AutoAWQ, https://github.com/casper-hansen/AutoAWQ).
A word holds eight neighbouring outputs, the lowest bits first, in the order 0 2 4 6 1 3 5 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sglang.srt.model_loader.formats.grid import Grid
from sglang.srt.model_loader.formats.interface import FLOATS, Module
from sglang.srt.model_loader.formats.settings import integer, switch, word

_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_MIDDLE = 8
"""The zero point of a matrix that is stored without one."""


class AWQ:
    """The format of ``quant_method`` "awq"."""

    plain = ".weight"
    parts = frozenset({".qweight", ".qzeros", ".scales"})

    def __init__(self, settings: Mapping[str, Any]) -> None:
        integer(settings, ("bits", "w_bit"), among=(4,))
        word(settings, ("version",), ("gemm",), "gemm")
        self._group_size = integer(settings, ("group_size", "q_group_size"), default=128)
        self._zero_point = switch(settings, "zero_point", True)

    def is_quantized(self, module: Module) -> bool:
        return module.has(".qweight")

    def shape(self, module: Module) -> tuple[int, ...]:
        stored = module.shape(".qweight")
        if len(stored) != 2:
            raise module.error(".qweight", f"has shape {list(stored)}, expected two dimensions")
        return stored[1] * 8, stored[0]

    def read(self, module: Module) -> Grid:
        outputs, inputs = self.shape(module)
        size = inputs if self._group_size == -1 else self._group_size
        groups = -(-inputs // size)
        scales = module.matrix(".scales", (groups, outputs), *FLOATS).t()
        codes = _unpack(module.read(".qweight", torch.int32))
        if self._zero_point or module.has(".qzeros"):
            zeros = _unpack(module.matrix(".qzeros", (groups, outputs // 8), torch.int32))
            return Grid(codes, scales, size, zeros, bits=4)
        return Grid(codes.sub_(_MIDDLE), scales, size, bits=4)


def _unpack(words: torch.Tensor) -> torch.Tensor:
    """[A, N / 8] int32 as [N, A] int8 in 0 .. 15."""
    turned = words.t().contiguous()
    out = torch.empty(turned.shape[0], 8, turned.shape[1], dtype=torch.int8)
    for place, output in enumerate(_ORDER):
        out[:, output] = (turned >> (4 * place)) & 15
    return out.view(-1, turned.shape[1])
