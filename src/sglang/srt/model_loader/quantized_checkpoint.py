"""A quantized checkpoint as one of plain matrices: what reads it need not know of formats.

Each matrix is converted when it is read. Tensors that belong to none, and matrices that the
checkpoint holds unquantized, pass through as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.stored_quantization import StoredQuantization
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.model_loader.checkpoint import Checkpoint
from sglang.srt.model_loader.formats.awq import AWQ
from sglang.srt.model_loader.formats.bitsandbytes import BitsAndBytes
from sglang.srt.model_loader.formats.compressed_tensors import CompressedTensors
from sglang.srt.model_loader.formats.fp8 import FP8
from sglang.srt.model_loader.formats.gptq import GPTQ
from sglang.srt.model_loader.formats.interface import Format, Module
from sglang.srt.model_loader.formats.mxfp4 import MXFP4Checkpoint
from sglang.srt.model_loader.gguf_checkpoint import GGUFCheckpoint

FORMATS: dict[str, Callable[[Mapping[str, Any]], Format]] = {
    "awq": AWQ,
    "bitsandbytes": BitsAndBytes,
    "compressed-tensors": CompressedTensors,
    "fbgemm_fp8": FP8,
    "fp8": FP8,
    "gptq": GPTQ,
    "modelopt": FP8,
}
"""By the ``quant_method`` of the checkpoint."""


class QuantizedCheckpoint:
    """The matrices of ``stored`` under the names that they have in a plain checkpoint."""

    def __init__(
        self, stored: Checkpoint, form: Format, dtype: torch.dtype, *, keep_integers: bool
    ) -> None:
        """``dtype`` is what matrices are converted to, unless they can stay integers."""
        self._stored, self._format, self._dtype = stored, form, dtype
        self._keep_integers = keep_integers
        self._modules: dict[str, Module] = {}
        self.total_bytes = stored.total_bytes
        hidden: set[str] = set()
        for name in stored.names():
            module = self._module(name)
            if module is not None:
                hidden.add(name)
                self._modules[module.name + form.plain] = module
        self._plain = {name for name in stored.names() if name not in hidden}

    def _module(self, name: str) -> Module | None:
        """The quantized matrix that the tensor ``name`` is a part of, if it is."""
        for part in self._format.parts:
            if name.endswith(part):
                module = Module(self._stored, name.removesuffix(part))
                if self._format.is_quantized(module):
                    return module
        return None

    def names(self) -> Iterable[str]:
        return self._plain | self._modules.keys()

    def contains(self, name: str) -> bool:
        return name in self._modules or name in self._plain

    def location(self, name: str) -> str:
        module = self._modules.get(name)
        if module is None:
            return self._stored.location(name)
        parts = (module.name + part for part in sorted(self._format.parts))
        return next(self._stored.location(part) for part in parts if self._stored.contains(part))

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        if name not in self._modules:
            return self._stored.shape(name, expected)
        return self._format.shape(self._modules[name])

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        if name not in self._modules:
            return self._stored.read(name, expected, dim, span)
        matrix = self._format.read(self._modules[name]).dequantize(self._dtype)
        return matrix[(slice(None),) * dim + (span,)]

    def read_quantized(self, name: str) -> torch.Tensor | QuantizedWeight | None:
        if name not in self._modules:
            return None
        grid = self._format.read(self._modules[name])
        integers = grid.for_kernels() if self._keep_integers else None
        return grid.dequantize(self._dtype) if integers is None else integers

    @property
    def bytes_read(self) -> int:
        return self._stored.bytes_read

    def close(self) -> None:
        self._stored.close()


def as_plain(
    checkpoint: Checkpoint,
    stored: StoredQuantization | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Checkpoint:
    """``checkpoint`` with its quantized matrices, if it has some, converted to ``dtype``.

    On a CPU matrices for products stay integers where the kernels have products with them. These
    round activations to integers, too: who asks for float32 does not want that.
    Raises ModelLoadError for a method that is not known, or settings that are not implemented.
    """
    keep = device.type == "cpu" and dtype != torch.float32
    if isinstance(checkpoint, GGUFCheckpoint):
        return checkpoint.converting(dtype, keep_integers=keep)
    if stored is None:
        return checkpoint
    if stored.method == "mxfp4":
        return MXFP4Checkpoint(checkpoint, dtype, keep_codes=keep)
    if stored.method not in FORMATS:
        raise ModelLoadError(
            f"quantized checkpoints ({stored.method}) are not implemented yet; known are "
            f"{', '.join(sorted([*FORMATS, 'mxfp4']))}"
        )
    return QuantizedCheckpoint(
        checkpoint, FORMATS[stored.method](stored.settings), dtype, keep_integers=keep
    )
