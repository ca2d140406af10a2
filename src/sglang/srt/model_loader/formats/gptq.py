"""GPTQ checkpoints: integers of 2, 3, 4 or 8 bits with a zero point for each group of inputs.

A matrix of N outputs and K inputs is ``qweight`` [K * bits / 32, N] int32, ``qzeros``
[G, N * bits / 32] int32, ``scales`` [G, N] and ``g_idx`` [K] int32, the group of each input, which
may be in any order (``desc_act``) and may be missing if it is not. The layout is that of AutoGPTQ
(https://github.com/AutoGPTQ/AutoGPTQ), whose first version stores zero points less one; GPTQModel
calls the version without that "gptq_v2".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sglang.srt.model_loader.formats.grid import Grid, unpack
from sglang.srt.model_loader.formats.interface import FLOATS, Module
from sglang.srt.model_loader.formats.settings import integer, word


class GPTQ:
    """The format of ``quant_method`` "gptq"."""

    plain = ".weight"
    parts = frozenset({".qweight", ".qzeros", ".scales", ".g_idx"})

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._bits = integer(settings, ("bits",), among=(2, 3, 4, 8))
        self._group_size = integer(settings, ("group_size",), default=128)
        version = word(
            settings, ("checkpoint_format", "format"), ("gptq", "gptq_v1", "gptq_v2"), "gptq"
        )
        self._shift = 0 if version == "gptq_v2" else 1

    def is_quantized(self, module: Module) -> bool:
        return module.has(".qweight")

    def shape(self, module: Module) -> tuple[int, ...]:
        stored = module.shape(".qweight")
        if len(stored) != 2:
            raise module.error(".qweight", f"has shape {list(stored)}, expected two dimensions")
        return stored[1], stored[0] * 32 // self._bits

    def read(self, module: Module) -> Grid:
        outputs, inputs = self.shape(module)
        bits, top = self._bits, (1 << self._bits) - 1
        size = inputs if self._group_size == -1 else self._group_size
        groups = -(-inputs // size)
        scales = module.matrix(".scales", (groups, outputs), *FLOATS).t()
        words = module.read(".qweight", torch.int32)
        codes = unpack(words.t().contiguous(), bits)
        words = module.matrix(".qzeros", (groups, -(-outputs * bits // 32)), torch.int32)
        zeros = unpack(words, bits)[:, :outputs].t()
        # What is all ones became so by subtracting one from zero.
        zeros = (zeros + self._shift) & top
        order = self._order(module, inputs, size, groups)
        middle = 1 << (bits - 1)
        if bool((zeros == middle).all()):
            codes.bitwise_xor_(middle)  # two's complement of the difference, in `bits` bits
            return Grid(_signed(codes, bits), scales, size, groups=order, bits=bits)
        return Grid(codes, scales, size, zeros, groups=order, bits=bits)

    def _order(self, module: Module, inputs: int, size: int, groups: int) -> torch.Tensor | None:
        """The group of each input, None if they are in order."""
        if not module.has(".g_idx"):
            return None
        found = module.matrix(".g_idx", (inputs,), torch.int32, torch.int64).long()
        if int(found.min()) < 0 or int(found.max()) >= groups:
            raise module.error(".g_idx", f"names groups outside of 0 .. {groups - 1}")
        return None if torch.equal(found, torch.arange(inputs) // size) else found


def _signed(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """uint8 numbers in two's complement of ``bits`` bits as int8."""
    shift = 8 - bits
    return codes.bitwise_left_shift_(shift).view(torch.int8).bitwise_right_shift_(shift)
