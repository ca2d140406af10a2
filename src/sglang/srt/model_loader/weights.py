"""Named tensors of a checkpoint -> weights in memory, in the wanted dtype, this rank's part."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import torch
from tqdm import tqdm

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.quantization import QuantizedWeight, stack
from sglang.srt.model_loader.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

_HARMLESS = re.compile(
    r"rotary_(pos_)?emb\.(inv_freq|cos_cached|sin_cached)$|\.attn\.(bias|masked_bias)$"
)
"""Buffers that old checkpoints carry and nobody reads."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor that a model expects in its checkpoint."""

    name: str
    shape: tuple[int, ...]
    """Of the whole tensor."""
    shard_dim: int | None = None
    """The dimension that tensor-parallel ranks split evenly; None: every rank has all of it."""


@dataclass(frozen=True)
class LoadReport:
    """What loading took."""

    seconds: float
    num_bytes: int
    """Bytes read from the checkpoint, in its own dtype."""

    def __str__(self) -> str:
        size = self.num_bytes / 1e9
        return f"{size:.2f} GB in {self.seconds:.2f} s ({size / max(self.seconds, 1e-9):.2f} GB/s)"


class _Bar(Protocol):
    def update(self, n: float) -> object: ...

    def close(self) -> None: ...


class WeightReader:
    """Reads the tensors a model asks for; at the end it knows which ones nobody asked for.

    Use it as a context manager: leaving it unmaps the files.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: torch.dtype,
        device: torch.device,
        tp_rank: int = 0,
        tp_size: int = 1,
        show_progress: bool | None = None,
    ) -> None:
        """``show_progress`` None: a bar on stderr if that is a terminal and this is rank 0."""
        if not 0 <= tp_rank < tp_size:
            raise ValueError(f"tp_rank {tp_rank} is not in 0 .. {tp_size - 1}")
        self.dtype = dtype
        self.device = device
        self.tp_size = tp_size
        self._checkpoint = checkpoint
        self._rank = tp_rank
        self._names = frozenset(checkpoint.names())
        self._used: set[str] = set()
        self._num_shown = 0
        self._start = time.perf_counter()
        if show_progress is None:
            show_progress = sys.stderr.isatty()
        self._bar: _Bar = tqdm(
            total=checkpoint.total_bytes // tp_size or None,
            desc="Loading weights",
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=not show_progress or tp_rank > 0,
        )

    def has(self, name: str) -> bool:
        """Whether the files hold the tensor ``name`` (made-up weights are in no file)."""
        return name in self._names

    def names(self) -> Sequence[str]:
        """Names of all tensors in the files, sorted; none where the weights are made up."""
        return sorted(self._names)

    def ignore(self, name: str) -> None:
        """Do not report ``name`` as unexpected."""
        self._used.add(name)

    def read(self, spec: TensorSpec) -> torch.Tensor:
        """This rank's part of one tensor, contiguous, on the device.

        Raises ModelLoadError naming tensor, shapes and file if it is missing or unlike ``spec``.
        """
        return self.read_fused([spec])

    def read_fused(self, specs: Sequence[TensorSpec]) -> torch.Tensor:
        """This rank's parts of several tensors, one below the other (joined along dimension 0).

        Each goes straight to its place: nothing is held twice.
        """
        for spec in specs:
            self._check(spec)
        shapes = [self._local_shape(spec) for spec in specs]
        rows = sum(shape[0] for shape in shapes)
        out = torch.empty((rows, *shapes[0][1:]), dtype=self.dtype, device=self.device)
        first = 0
        for spec, shape in zip(specs, shapes, strict=True):
            self._copy(spec, out[first : first + shape[0]])
            first += shape[0]
        return out

    def read_rows(self, spec: TensorSpec, first: int, count: int) -> torch.Tensor:
        """Elements ``first`` .. of dimension 0 of a tensor that no ranks share, on the device."""
        self._check(spec)
        part = self._part(spec.name, spec.shape, 0, slice(first, first + count))
        return part.to(device=self.device, dtype=self.dtype)

    def read_stored(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """All of one tensor that the files have, on the CPU in their dtype.

        ``shape`` matters only where weights are made up. The result may be a view of the mapped
        file, to be copied before the reader is left.
        """
        return self._part(name, shape)

    def read_matrix(self, specs: Sequence[TensorSpec]) -> torch.Tensor | QuantizedWeight:
        """The same of matrices for products: integers where all are stored as such.

        Only integers of a scheme that the kernels know are kept; the rest is converted.
        """
        found: list[torch.Tensor | QuantizedWeight] = []
        for spec in specs:
            self._check(spec)
            part = None if self.tp_size > 1 else self._checkpoint.read_quantized(spec.name)
            if part is None and not found:
                return self.read_fused(specs)
            found.append(self.read(spec) if part is None else part)
            self._note(spec.name)
        integers = [part for part in found if isinstance(part, QuantizedWeight)]
        if len(integers) == len(found) and len({part.scheme for part in integers}) == 1:
            return stack(integers)
        wide = [
            part.dequantize().to(self.dtype) if isinstance(part, QuantizedWeight) else part
            for part in found
        ]
        return torch.cat(wide).to(self.device)

    def finish(self) -> LoadReport:
        """Warn once about tensors that nobody asked for; report time and size."""
        self._bar.close()
        extra = sorted(
            name for name in self._names if name not in self._used and not _HARMLESS.search(name)
        )
        if extra:
            shown = ", ".join(extra[:5]) + (", ..." if len(extra) > 5 else "")
            logger.warning("%d tensors of the checkpoint are not used: %s", len(extra), shown)
        return LoadReport(time.perf_counter() - self._start, self._checkpoint.bytes_read)

    def __enter__(self) -> WeightReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._checkpoint.close()

    def _local_shape(self, spec: TensorSpec) -> tuple[int, ...]:
        if spec.shard_dim is None:
            return spec.shape
        whole = spec.shape[spec.shard_dim]
        if whole % self.tp_size:
            raise ModelLoadError(
                f"tensor {spec.name}: dimension {spec.shard_dim} of {list(spec.shape)} cannot be "
                f"split over {self.tp_size} ranks"
            )
        local = list(spec.shape)
        local[spec.shard_dim] = whole // self.tp_size
        return tuple(local)

    def _check(self, spec: TensorSpec) -> None:
        checkpoint, name = self._checkpoint, spec.name
        if not checkpoint.contains(name):
            raise ModelLoadError(
                f"missing tensor {name} of shape {list(spec.shape)} in {checkpoint.location(name)}"
            )
        found = checkpoint.shape(name, spec.shape)
        if found != spec.shape:
            raise ModelLoadError(
                f"tensor {name} has shape {list(found)}, expected {list(spec.shape)}, in "
                f"{checkpoint.location(name)}"
            )

    def _copy(self, spec: TensorSpec, out: torch.Tensor) -> None:
        dim = spec.shard_dim or 0
        size = out.shape[dim]
        first = self._rank * size if spec.shard_dim is not None else 0
        out.copy_(self._part(spec.name, spec.shape, dim, slice(first, first + size)))

    def _part(
        self, name: str, shape: tuple[int, ...], dim: int = 0, span: slice = slice(None)
    ) -> torch.Tensor:
        checkpoint = self._checkpoint
        part = checkpoint.read(name, shape, dim, span)
        if part.dtype not in _FLOATS:
            raise ModelLoadError(
                f"tensor {name} has dtype {str(part.dtype).removeprefix('torch.')} in "
                f"{checkpoint.location(name)}, but config.json does not say how to read it"
            )
        self._note(name)
        return part

    def _note(self, name: str) -> None:
        """``name`` was read."""
        self._used.add(name)
        done = self._checkpoint.bytes_read
        self._bar.update(done - self._num_shown)
        self._num_shown = done
