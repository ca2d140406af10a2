"""Checkpoints with weights of 8-bit floating point (e4m3 or e5m2) and scales.

A matrix is ``weight`` [N, K] float8 with ``weight_scale``: one number, one for each output [N, 1],
or one for each block of the matrix. Block scales of DeepSeek V3 (https://arxiv.org/abs/2412.19437,
3.3) are called ``weight_scale_inv``, though they are factors too. Scales of activations
(``input_scale``) are not needed: activations keep their precision here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.formats.grid import Grid
from sglang.srt.model_loader.formats.interface import FLOATS, Module

FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2)


class FP8:
    """The format of ``quant_method`` "fp8", "fbgemm_fp8", and "modelopt" with FP8."""

    plain = ".weight"
    parts = frozenset(
        {
            ".weight",
            ".weight_scale",
            ".weight_scale_inv",
            ".input_scale",
            ".input_scale_ub",
            ".activation_scale",
        }
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        algorithm = settings.get("quant_algo")
        if algorithm is not None and str(algorithm).upper() != "FP8":
            raise ModelLoadError(
                f"config.json: quantization_config: 'quant_algo' {algorithm!r} is not implemented "
                "yet; FP8 is"
            )
        self._block = block_shape(settings.get("weight_block_size"), "weight_block_size")

    def is_quantized(self, module: Module) -> bool:
        return module.has(".weight") and any(module.has(part) for part in _SCALES)

    def shape(self, module: Module) -> tuple[int, ...]:
        return module.shape(".weight")

    def read(self, module: Module) -> Grid:
        part = next(part for part in _SCALES if module.has(part))
        return read_float8(module, ".weight", part, self._block)


_SCALES = (".weight_scale_inv", ".weight_scale")


def block_shape(value: Any, key: str) -> tuple[int, int] | None:
    """Rows and columns of a block of the matrix; None if scales are not for blocks."""
    if value is None:
        return None
    sides = value if isinstance(value, list) else []
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ModelLoadError(
            f"config.json: quantization_config: '{key}' must be two positive integers: {value!r}"
        )
    return sides[0], sides[1]


def read_float8(
    module: Module, weight_part: str, scale_part: str, block: tuple[int, int] | None
) -> Grid:
    """The matrix of ``weight_part``, whichever of the three kinds its scales are."""
    shape = module.shape(weight_part)
    if len(shape) != 2:
        raise module.error(weight_part, f"has shape {list(shape)}, expected two dimensions")
    codes = module.read(weight_part, *FLOAT8)
    scales = module.read(scale_part, *FLOATS)
    return Grid(codes, *scales_by_shape(module, scale_part, scales, shape, block))


def scales_by_shape(
    module: Module,
    part: str,
    scales: torch.Tensor,
    shape: tuple[int, ...],
    block: tuple[int, int] | None,
) -> tuple[torch.Tensor, int, None, int]:
    """Scales, columns of a block, no zero points, rows of a block: as a ``Grid`` takes them."""
    rows, columns = shape
    if scales.numel() == 1:
        return scales.view(1, 1), columns, None, rows
    if scales.shape in ((rows,), (rows, 1)):
        return scales.view(rows, 1), columns, None, 1
    if block is not None and scales.shape == (-(-rows // block[0]), -(-columns // block[1])):
        return scales, block[1], None, block[0]
    blocks = f" in blocks of {block[0]} x {block[1]}" if block else ""
    raise module.error(
        part, f"has shape {list(scales.shape)}, which does not fit a matrix {list(shape)}{blocks}"
    )
