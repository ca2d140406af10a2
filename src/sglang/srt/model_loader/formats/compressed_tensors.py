"""Checkpoints of llm-compressor in the formats of compressed-tensors.

https://github.com/vllm-project/compressed-tensors. A matrix [N, K] has ``weight_scale`` and, if it
is asymmetric, ``weight_zero_point``: for the whole, for each output, for groups of inputs or for
blocks. The integers or float8 themselves are ``weight``, or for a few bits ``weight_packed``
[N, K * bits / 32] int32 with ``weight_shape``. Packed numbers have half their range added; packed
zero points lie along the outputs: [N * bits / 32, G]. ``weight_g_idx`` [K] is the group of each
input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.formats.fp8 import (
    FLOAT8,
    block_shape,
    read_float8,
    scales_by_shape,
)
from sglang.srt.model_loader.formats.grid import Grid, unpack
from sglang.srt.model_loader.formats.interface import FLOATS, Module
from sglang.srt.model_loader.formats.settings import integer

_FORMATS = (
    "dense",
    "float-quantized",
    "int-quantized",
    "mixed-precision",
    "naive-quantized",
    "pack-quantized",
)


class _Scheme(NamedTuple):
    """What a group of the configuration says about weights."""

    bits: int
    group_size: int | None
    block: tuple[int, int] | None
    activation_bits: int


class CompressedTensors:
    """The format of ``quant_method`` "compressed-tensors"."""

    plain = ".weight"
    parts = frozenset(
        {
            ".weight",
            ".weight_packed",
            ".weight_scale",
            ".weight_zero_point",
            ".weight_shape",
            ".weight_g_idx",
            ".input_scale",
            ".input_zero_point",
        }
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        _check_format(settings.get("format"))
        groups = settings.get("config_groups")
        if not isinstance(groups, dict) or not groups:
            raise ModelLoadError(
                "config.json: quantization_config: 'config_groups' must be an object with groups"
            )
        self._schemes = [_parse_group(name, group) for name, group in groups.items()]

    def is_quantized(self, module: Module) -> bool:
        return module.has(".weight_packed") or module.has(".weight_scale")

    def shape(self, module: Module) -> tuple[int, ...]:
        if not module.has(".weight_packed"):
            return module.shape(".weight")
        found = module.matrix(".weight_shape", (2,), torch.int64, torch.int32).tolist()
        if min(found) <= 0:
            raise module.error(".weight_shape", f"is {found}: not positive")
        return tuple(found)

    def read(self, module: Module) -> Grid:
        shape = self.shape(module)
        if len(shape) != 2:
            raise module.error(".weight", f"has shape {list(shape)}, expected two dimensions")
        if module.has(".weight_packed"):
            return self._read_packed(module, shape)
        codes = module.read(".weight", torch.int8, *FLOAT8)
        if codes.dtype != torch.int8:
            blocks = [scheme.block for scheme in self._schemes if scheme.block]
            return read_float8(module, ".weight", ".weight_scale", blocks[0] if blocks else None)
        # Codes of fewer bits are within the range of more.
        return _read_grid(module, codes, shape, max(self._schemes, key=lambda each: each.bits))

    def _read_packed(self, module: Module, shape: tuple[int, ...]) -> Grid:
        rows, columns = shape
        stored = module.shape(".weight_packed")
        fitting = [
            scheme
            for scheme in self._schemes
            if scheme.bits in (4, 8) and stored == (rows, -(-columns * scheme.bits // 32))
        ]
        if not fitting:
            raise module.error(
                ".weight_packed",
                f"has shape {list(stored)}, which no group of the configuration makes of "
                f"{list(shape)} (4 and 8 bits are implemented)",
            )
        bits = fitting[0].bits
        codes = unpack(module.read(".weight_packed", torch.int32), bits)[:, :columns]
        return _read_grid(module, _centred(codes, bits), shape, fitting[0])


def _read_grid(
    module: Module, codes: torch.Tensor, shape: tuple[int, ...], scheme: _Scheme
) -> Grid:
    """Integer ``codes`` with the scales and zero points of ``module``."""
    rows, columns = shape
    part = ".weight_scale"
    scales = module.read(part, *FLOATS)
    size, group_rows = scheme.group_size or columns, 1
    if scales.shape != (rows, -(-columns // size)):
        scales, size, _, group_rows = scales_by_shape(module, part, scales, shape, scheme.block)
    zeros = _read_zeros(module, scales.shape, shape, scheme.bits)
    if group_rows == rows:  # one for all: the kernels have one for each output
        scales, group_rows = scales.expand(rows, 1), 1
        zeros = None if zeros is None else zeros.expand(rows, 1)
    return Grid(
        codes,
        scales,
        size,
        zeros,
        group_rows=group_rows,
        groups=_read_order(module, columns, size, scales.shape[1]),
        bits=scheme.bits,
        activation_bits=scheme.activation_bits,
    )


def _read_zeros(
    module: Module, blocks: torch.Size, shape: tuple[int, ...], bits: int
) -> torch.Tensor | None:
    """Zero points for ``blocks`` of the matrix, None if all are zero."""
    part = ".weight_zero_point"
    if not module.has(part):
        return None
    stored = module.read(part, torch.int8, torch.int32)
    if stored.dtype == torch.int32:
        words = (-(-blocks[0] * bits // 32), blocks[1])
        if stored.shape != words:
            raise module.error(part, f"has shape {list(stored.shape)}, expected {list(words)}")
        stored = _centred(unpack(stored.t().contiguous(), bits)[:, : blocks[0]], bits).t()
    elif stored.numel() != blocks.numel():
        raise module.error(part, f"has shape {list(stored.shape)}, expected {list(blocks)}")
    return stored.reshape(blocks) if bool(stored.any()) else None


def _read_order(module: Module, columns: int, size: int, groups: int) -> torch.Tensor | None:
    """The group of each input, None if they are in order."""
    part = ".weight_g_idx"
    if not module.has(part):
        return None
    found = module.matrix(part, (columns,), torch.int32, torch.int64).long()
    if bool((found == -1).all()):  # not set
        return None
    if int(found.min()) < 0 or int(found.max()) >= groups:
        raise module.error(part, f"names groups outside of 0 .. {groups - 1}")
    return None if torch.equal(found, torch.arange(columns) // size) else found


def _centred(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """uint8 0 .. 2^bits - 1 as int8 around zero."""
    return (codes ^ 128).view(torch.int8) if bits == 8 else codes.view(torch.int8) - 8


def _check_format(name: Any) -> None:
    if name is not None and name not in _FORMATS:
        raise ModelLoadError(
            f"config.json: quantization_config: the format {name!r} of compressed-tensors is not "
            f"implemented; known: {', '.join(_FORMATS)}"
        )


def _parse_group(name: str, group: Any) -> _Scheme:
    weights = group.get("weights") if isinstance(group, dict) else None
    if not isinstance(weights, dict):
        raise ModelLoadError(
            f"config.json: quantization_config: group {name!r} must have an object 'weights'"
        )
    _check_format(group.get("format"))
    activations = group.get("input_activations")
    is_int8 = isinstance(activations, dict) and activations.get("type", "int") == "int"
    size = integer(weights, ("group_size",), default=-1)
    return _Scheme(
        integer(weights, ("num_bits",), default=8),
        size if size > 0 and weights.get("strategy") != "block" else None,
        block_shape(weights.get("block_structure"), "block_structure"),
        8 if is_int8 else 16,
    )
