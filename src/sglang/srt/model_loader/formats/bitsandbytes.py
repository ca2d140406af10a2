"""Checkpoints of bitsandbytes (https://github.com/bitsandbytes-foundation/bitsandbytes).

4 bits (nf4, fp4): ``weight`` holds two codes a byte, the first in the high half, of the matrix read
row by row; ``weight.quant_map`` the 16 numbers that codes stand for, ``weight.absmax`` a scale for
each block of consecutive elements, and ``weight.quant_state.bitsandbytes__nf4`` (or fp4) shape and
block size as JSON. With double quantization the scales are codes themselves, of
``weight.nested_quant_map``, with scales ``weight.nested_absmax`` and an offset in the JSON.

8 bits (LLM.int8, https://arxiv.org/abs/2208.07339): ``weight`` [N, K] int8 and ``SCB`` [N], the
largest magnitude of each output, which 127 stands for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sglang.srt.model_loader.formats.grid import Grid
from sglang.srt.model_loader.formats.interface import FLOATS, Module

_STATES = (".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4")
_MAX_STATE_BYTES = 1 << 16


class BitsAndBytes:
    """The format of ``quant_method`` "bitsandbytes"."""

    plain = ".weight"
    parts = frozenset(
        {
            *_STATES,
            ".weight",
            ".weight.absmax",
            ".weight.quant_map",
            ".weight.nested_absmax",
            ".weight.nested_quant_map",
            ".SCB",
            ".weight_format",
        }
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        pass  # the tensors say it all

    def is_quantized(self, module: Module) -> bool:
        return module.has(".SCB") or any(module.has(part) for part in _STATES)

    def shape(self, module: Module) -> tuple[int, ...]:
        return module.shape(".weight") if module.has(".SCB") else _read_state(module).shape

    def read(self, module: Module) -> Grid:
        return _read_8_bits(module) if module.has(".SCB") else _read_4_bits(module)


class _State(NamedTuple):
    shape: tuple[int, int]
    block_size: int
    nested_block_size: int
    nested_offset: float


def _read_8_bits(module: Module) -> Grid:
    shape = module.shape(".weight")
    if len(shape) != 2:
        raise module.error(".weight", f"has shape {list(shape)}, expected two dimensions")
    if module.has(".weight_format") and int(module.read(".weight_format")) != 0:
        raise module.error(".weight_format", "is not 0 (row by row): not implemented")
    scales = module.matrix(".SCB", (shape[0],), *FLOATS).float() / 127.0
    return Grid(module.read(".weight", torch.int8), scales.view(-1, 1), shape[1], bits=8)


def _read_4_bits(module: Module) -> Grid:
    state = _read_state(module)
    rows, columns = state.shape
    count = rows * columns
    packed = module.read(".weight").contiguous().flatten().view(torch.uint8)
    if packed.numel() != -(-count // 2):
        raise module.error(".weight", f"has {packed.numel()} bytes, too few or many for {count}")
    table = module.matrix(".weight.quant_map", (16,), *FLOATS).float()
    # Both numbers of a byte at once.
    pairs = torch.stack((table.repeat_interleave(16), table.repeat(16)), dim=1)
    values = pairs.index_select(0, packed.int()).flatten()[:count].view(rows, columns)
    scales = _read_scales(module, state, -(-count // state.block_size))
    if columns % state.block_size == 0:
        return Grid(values, scales.view(rows, -1), state.block_size)
    scales = scales.repeat_interleave(state.block_size)[:count].view(rows, columns)
    return Grid(values, scales, 1)


def _read_scales(module: Module, state: _State, count: int) -> torch.Tensor:
    """[count] float32, one for each block."""
    if not module.has(".weight.nested_absmax"):
        return module.matrix(".weight.absmax", (count,), *FLOATS).float()
    codes = module.matrix(".weight.absmax", (count,), torch.uint8)
    table = module.matrix(".weight.nested_quant_map", (256,), *FLOATS).float()
    outer = -(-count // state.nested_block_size)
    outer_scales = module.matrix(".weight.nested_absmax", (outer,), *FLOATS).float()
    spread = outer_scales.repeat_interleave(state.nested_block_size)[:count]
    return table[codes.int()] * spread + state.nested_offset


def _read_state(module: Module) -> _State:
    part = next((part for part in _STATES if module.has(part)), _STATES[0])
    stored = module.read(part, torch.uint8)
    if stored.numel() > _MAX_STATE_BYTES:
        raise module.error(part, f"has {stored.numel()} bytes, at most {_MAX_STATE_BYTES} are read")
    try:
        facts = json.loads(bytes(stored.tolist()))
        shape = facts["shape"]
        state = _State(
            (shape[0], shape[1]),
            facts["blocksize"],
            facts.get("nested_blocksize") or 256,
            float(facts.get("nested_offset") or 0.0),
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, AttributeError):
        raise module.error(part, "is no JSON with 'shape' and 'blocksize'") from None
    sizes = (*state.shape, state.block_size, state.nested_block_size)
    if len(shape) != 2 or not all(type(size) is int and 0 < size < 1 << 31 for size in sizes):
        raise module.error(part, f"has a senseless shape or block size: {sizes}")
    return state
