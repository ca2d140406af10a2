"""Checkpoint files as a set of named tensors, read lazily.

Files are memory-mapped: opening one reads its header only, and reading part of a tensor touches
that part of the file only. Whatever a file or an index says is checked before it is used.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_file import is_gguf
from sglang.srt.configs.json_file import read_json_object
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.model_loader.gguf_checkpoint import GGUFCheckpoint

LOAD_FORMATS = ("auto", "safetensors", "pt", "gguf", "bitsandbytes", "dummy")

_NOT_WEIGHTS = {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt"}


class Checkpoint(Protocol):
    """Named tensors on disk."""

    total_bytes: int
    """Size of the files, for the progress bar; 0 if there are none."""

    @property
    def bytes_read(self) -> int:
        """Bytes of all tensors, or parts of tensors, that were read so far, as they are stored."""
        ...

    def names(self) -> Iterable[str]:
        """Names of all tensors."""
        ...

    def contains(self, name: str) -> bool:
        """Whether the checkpoint has this tensor."""
        ...

    def location(self, name: str) -> str:
        """Where the tensor is or should be, for messages."""
        ...

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        """Its full shape. ``expected`` matters only where tensors are made up."""
        ...

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        """Elements ``span`` along dimension ``dim``, as they are stored, on the CPU.

        A tensor without dimensions is read with ``dim`` 0 and any span. The result may be a view
        of the mapped file: copy it before the checkpoint is closed.
        """
        ...

    def read_quantized(self, name: str) -> torch.Tensor | QuantizedWeight | None:
        """The whole of a matrix that is stored quantized, None if it is not.

        It is made of integers if these are of a form that the kernels have.
        """
        ...

    def close(self) -> None:
        """Unmap the files."""
        ...


def open_checkpoint(model_path: str, load_format: str = "auto") -> Checkpoint:
    """Open the weights in the folder, or the GGUF file, ``model_path``.

    ``auto`` takes safetensors if there are any, else ``.bin`` files. Raises ModelLoadError for
    missing or damaged files, ValueError for an unknown ``load_format``.
    """
    if load_format not in LOAD_FORMATS:
        raise ValueError(f"load_format must be one of {', '.join(LOAD_FORMATS)}: {load_format!r}")
    if load_format == "dummy":
        return DummyCheckpoint()
    folder = Path(model_path)
    if is_gguf(folder):
        if load_format not in ("auto", "gguf"):
            raise ModelLoadError(f"{folder} is a GGUF file, not of load format '{load_format}'")
        return GGUFCheckpoint(folder)
    if load_format in ("auto", "safetensors", "bitsandbytes"):
        files, index = find_weight_files(folder, "model", ("safetensors",))
        if files:
            return SafetensorsCheckpoint(folder, files, index)
    if load_format in ("auto", "pt", "bitsandbytes"):
        files, index = find_weight_files(folder, "pytorch_model", ("bin", "pt"))
        if files:
            return TorchCheckpoint(folder, files, index)
    wanted = {
        "safetensors": "*.safetensors",
        "pt": "*.bin or *.pt",
        "gguf": "a GGUF file",
    }.get(load_format, "*.safetensors or *.bin")
    raise ModelLoadError(f"{folder} has no weights ({wanted}) for load format '{load_format}'")


def find_weight_files(
    folder: Path, stem: str, suffixes: tuple[str, ...]
) -> tuple[list[Path], dict[str, str]]:
    """The weight files of one format, and the map from tensor to file name if there is an index.

    An index decides alone; then the single file of the usual name; then all files of the format
    except those that are known to hold something else.
    """
    index_path = folder / f"{stem}.{suffixes[0]}.index.json"
    if index_path.is_file():
        weight_map = _read_index(index_path)
        return [folder / name for name in sorted(set(weight_map.values()))], weight_map
    single = folder / f"{stem}.{suffixes[0]}"
    if single.is_file():
        return [single], {}
    for suffix in suffixes:
        files = [
            path
            for path in sorted(folder.glob(f"*.{suffix}"))
            if path.name not in _NOT_WEIGHTS and not path.name.startswith("consolidated")
        ]
        if files:
            return files, {}
    return [], {}


def _read_index(path: Path) -> dict[str, str]:
    """The ``weight_map`` of a shard index: files must lie in the folder itself and exist."""
    weight_map = read_json_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelLoadError(f"{path}: 'weight_map' must be an object that maps tensors to files")
    for tensor, name in weight_map.items():
        plain = isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name
        if not plain or "/" in name or "\\" in name:
            raise ModelLoadError(f"{path}: tensor {tensor} is in {name!r}, no file of the folder")
    for name in sorted(set(weight_map.values())):
        if not (path.parent / name).is_file():
            raise ModelLoadError(f"{path.parent / name} is missing, though {path.name} names it")
    return weight_map


class _Shards:
    """Which of several files holds a tensor; common to the formats."""

    def __init__(self, folder: Path, files: list[Path], index: dict[str, str]) -> None:
        self._folder = folder
        self._where: dict[str, Path] = {}
        self.bytes_read = 0
        self.total_bytes = sum(path.stat().st_size for path in files)
        for path in files:
            for name in self._open(path):
                if name in self._where:
                    raise ModelLoadError(f"tensor {name} is in {self._where[name]} and in {path}")
                self._where[name] = path
        for name, file in index.items():
            if self._where.get(name) != folder / file:
                raise ModelLoadError(f"{folder / file} lacks tensor {name}, which the index names")

    def _open(self, path: Path) -> Iterable[str]:
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        return self._where

    def contains(self, name: str) -> bool:
        return name in self._where

    def location(self, name: str) -> str:
        return str(self._where.get(name, self._folder))

    def read_quantized(self, name: str) -> None:
        return None

    def _counted(self, part: torch.Tensor) -> torch.Tensor:
        self.bytes_read += part.numel() * part.element_size()
        return part


class SafetensorsCheckpoint(_Shards):
    """One or more ``.safetensors`` files. The library checks offsets and sizes on opening."""

    def __init__(self, folder: Path, files: list[Path], index: dict[str, str]) -> None:
        self._files: dict[Path, Any] = {}
        super().__init__(folder, files, index)

    def _open(self, path: Path) -> Iterable[str]:
        try:
            file: Any = safe_open(str(path), framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(f"{path} is not a sound safetensors file: {error}") from None
        self._files[path] = file
        return list(file.keys())

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._slice(name).get_shape())

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        try:
            if not self.shape(name, expected):
                return self._counted(self._files[self._where[name]].get_tensor(name))
            part: torch.Tensor = self._slice(name)[(slice(None),) * dim + (span,)]
        except SafetensorError as error:  # a dtype that torch does not have
            raise ModelLoadError(
                f"tensor {name} of {self.location(name)} cannot be read: {error}"
            ) from None
        return self._counted(part)

    def _slice(self, name: str) -> Any:
        return self._files[self._where[name]].get_slice(name)

    def close(self) -> None:
        self._files.clear()


class TorchCheckpoint(_Shards):
    """One or more files written by ``torch.save``; nothing but tensors is unpickled."""

    def __init__(self, folder: Path, files: list[Path], index: dict[str, str]) -> None:
        self._files: dict[Path, dict[str, torch.Tensor]] = {}
        super().__init__(folder, files, index)

    def _open(self, path: Path) -> Iterable[str]:
        content = _torch_load(path)
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not content:
            raise ModelLoadError(f"{path} holds no dictionary of tensors")
        for name, tensor in content.items():
            plain = isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
            if not isinstance(name, str) or not plain:
                raise ModelLoadError(f"{path}: entry {name!r} is not a named tensor")
        self._files[path] = content
        return list(content)

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._tensor(name).shape)

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        tensor = self._tensor(name)
        return self._counted(tensor[(slice(None),) * dim + (span,)] if tensor.dim() else tensor)

    def _tensor(self, name: str) -> torch.Tensor:
        return self._files[self._where[name]][name]

    def close(self) -> None:
        self._files.clear()


def _torch_load(path: Path) -> object:
    """``torch.load`` with weights_only; files older than the zip format cannot be mapped."""
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a damaged file provokes
        reason = " ".join(str(error).split())[:200]
        raise ModelLoadError(f"{path} cannot be read as plain tensors: {reason}") from None


class DummyCheckpoint:
    """Made-up weights for benchmarks: any tensor that is asked for, the same in every run.

    Matrices are uniform with the variance 1 / fan-in, norm weights are ones, biases zeros. Values
    repeat after a prime number of elements, so that rows differ and making them is a copy.
    """

    total_bytes = 0
    bytes_read = 0
    _PERIOD = 1_048_573

    def names(self) -> Iterable[str]:
        return ()

    def contains(self, name: str) -> bool:
        return True

    def location(self, name: str) -> str:
        return "the dummy weights"

    def shape(self, name: str, expected: tuple[int, ...]) -> tuple[int, ...]:
        return expected

    def read(self, name: str, expected: tuple[int, ...], dim: int, span: slice) -> torch.Tensor:
        part = (slice(None),) * dim + (span,)
        if len(expected) == 1:
            fill = 0.0 if name.endswith("bias") else 1.0
            return torch.full(expected, fill)[part]
        bound = (3.0 / expected[-1]) ** 0.5
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        size = torch.Size(expected).numel()
        values = torch.empty(min(size, self._PERIOD)).uniform_(-bound, bound, generator=generator)
        repeats = -(-size // values.numel())
        return values.repeat(repeats)[:size].view(expected)[part]

    def read_quantized(self, name: str) -> None:
        return None

    def close(self) -> None:
        pass
