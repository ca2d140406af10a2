"""A GGUF file as a checkpoint: the same names, shapes and values as the one it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_config import number
from sglang.srt.configs.gguf_file import GGUFTensor, open_gguf
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.model_loader.formats import gguf_blocks
from sglang.srt.model_loader.gguf_names import Source, sources


class GGUFCheckpoint:
    """The tensors of a GGUF file, or of all files of a split model."""

    def __init__(
        self, path: Path, dtype: torch.dtype = torch.float32, *, keep_integers: bool = False
    ) -> None:
        """Quantized matrices become ``dtype``; those for products stay integers where they can.

        Raises ModelLoadError for a file that is damaged.
        """
        self._file = open_gguf(path)
        self.total_bytes = self._file.num_bytes
        self.bytes_read = 0
        self._dtype, self._keep_integers = dtype, keep_integers
        self._sources, self._unknown = sources(
            self._file.architecture,
            self._file.tensors,
            int(number(self._file, "expert_count") or 0),
        )

    def converting(self, dtype: torch.dtype, *, keep_integers: bool) -> GGUFCheckpoint:
        """The same file, read as ``dtype``."""
        return GGUFCheckpoint(self._file.path, dtype, keep_integers=keep_integers)

    def names(self) -> Iterable[str]:
        return self._sources.keys() | self._unknown

    def contains(self, name: str) -> bool:
        return name in self._sources

    def location(self, name: str) -> str:
        source = self._sources.get(name)
        if source is None:
            return str(self._file.path)
        return f"{self._file.tensors[source.tensor].path} ({source.tensor})"

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        source, tensor = self._find(name)
        return tensor.shape if source.expert is None else tensor.shape[1:]

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        source, tensor = self._find(name)
        rows = self._rows(source, tensor)
        matrix = gguf_blocks.to_torch(tensor, rows, self._dtype)
        matrix = self._ordered(matrix, source).view(self.shape(name, expected))
        if source.plus_one:
            matrix = matrix - 1
        return matrix[(slice(None),) * dim + (span,)]

    def read_quantized(self, name: str) -> torch.Tensor | QuantizedWeight | None:
        source, tensor = self._find(name)
        if gguf_blocks.is_plain(tensor):
            return None
        rows = self._rows(source, tensor)
        integers = gguf_blocks.to_integers(tensor, rows) if self._keep_integers else None
        if integers is None:
            return self._ordered(gguf_blocks.to_torch(tensor, rows, self._dtype), source)
        return integers.each(lambda part: self._ordered(part, source))

    def close(self) -> None:
        """Nothing to do: the file is unmapped with the last tensor that lies in it."""

    def _find(self, name: str) -> tuple[Source, GGUFTensor]:
        source = self._sources[name]
        return source, self._file.tensors[source.tensor]

    def _rows(self, source: Source, tensor: GGUFTensor) -> slice:
        """The rows of the stored tensor that are meant; they count as read."""
        rows = slice(0, len(tensor.data))
        if source.expert is not None:
            if len(tensor.shape) != 3 or source.expert >= tensor.shape[0]:
                raise ModelLoadError(
                    f"tensor {tensor.name} of {tensor.path} has shape {list(tensor.shape)}, "
                    f"expected the matrices of all experts, more than {source.expert}"
                )
            rows = slice(source.expert * tensor.shape[1], (source.expert + 1) * tensor.shape[1])
        self.bytes_read += (rows.stop - rows.start) * tensor.data.shape[1]
        return rows

    def _ordered(self, rows: torch.Tensor, source: Source) -> torch.Tensor:
        """The rows in the order of a checkpoint: the first halves of all pairs of a head first."""
        if source.heads is None:
            return rows
        heads = number(self._file, source.heads)
        if rows.shape[0] == 1:  # a bias
            rows = rows.t()
            return self._ordered(rows, source).t()
        if not isinstance(heads, int) or heads < 1 or rows.shape[0] % (2 * heads):
            raise ModelLoadError(
                f"tensor {source.tensor} of {self._file.path} has {rows.shape[0]} rows, which are "
                f"no pairs of {heads} heads"
            )
        pairs = rows.reshape(heads, -1, 2, rows.shape[1])
        return pairs.transpose(1, 2).reshape(rows.shape)
