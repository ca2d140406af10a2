"""What a format of quantized matrices has to say, and what it is given to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.checkpoint import Checkpoint
from sglang.srt.model_loader.formats.grid import Grid

FLOATS = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Module:
    """The stored tensors of one matrix: those whose name is ``name`` and a part."""

    checkpoint: Checkpoint
    name: str

    def has(self, part: str) -> bool:
        return self.checkpoint.contains(self.name + part)

    def shape(self, part: str) -> tuple[int, ...]:
        """Raises ModelLoadError if the tensor is missing."""
        self._check(part)
        return self.checkpoint.shape(self.name + part, ())

    def read(self, part: str, *dtypes: torch.dtype) -> torch.Tensor:
        """The whole tensor; ModelLoadError if it is missing or of none of ``dtypes``."""
        shape = self.shape(part)
        rows = slice(0, shape[0] if shape else None)
        tensor = self.checkpoint.read(self.name + part, shape, 0, rows)
        if dtypes and tensor.dtype not in dtypes:
            kinds = " or ".join(_plain(dtype) for dtype in dtypes)
            raise self.error(part, f"has dtype {_plain(tensor.dtype)}, expected {kinds}")
        return tensor

    def matrix(self, part: str, shape: tuple[int, ...], *dtypes: torch.dtype) -> torch.Tensor:
        """The same of a tensor that must have ``shape``."""
        found = self.shape(part)
        if found != shape:
            raise self.error(part, f"has shape {list(found)}, expected {list(shape)}")
        return self.read(part, *dtypes)

    def error(self, part: str, problem: str) -> ModelLoadError:
        name = self.name + part
        return ModelLoadError(f"tensor {name} {problem}, in {self.checkpoint.location(name)}")

    def _check(self, part: str) -> None:
        if not self.has(part):
            raise self.error(part, "is missing")


class Format(Protocol):
    """How one method stores matrices [N, K]. Made of the settings that the checkpoint gives."""

    plain: str
    """What the name of such a matrix ends in where it is not quantized."""
    parts: frozenset[str]
    """What the names of the tensors of a matrix end in, those that nobody needs included."""

    def is_quantized(self, module: Module) -> bool:
        """Whether the tensors of ``module`` are a quantized matrix; they may be a plain one."""
        ...

    def shape(self, module: Module) -> tuple[int, ...]:
        """[N, K]."""
        ...

    def read(self, module: Module) -> Grid:
        """Raises ModelLoadError for tensors that do not go together."""
        ...


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
