"""GGUF files: metadata, and where the tensors are.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A header (magic,
version, counts), typed metadata by key, tensor descriptions, then the data of all tensors, aligned.
A model may be split into files named ``NAME-00001-of-00003.gguf``, of which the first has the
metadata. Everything a file says is checked against its size before it is used. Needs no torch.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sglang.srt.configs.errors import ModelLoadError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_MAX_ITEMS = 1 << 24
"""Of an array, and entries of a file: real vocabularies have at most some 500,000 tokens."""
_DEFAULT_ALIGNMENT = 32

_NUMBERS: dict[int, str] = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_STRING, _ARRAY = 8, 9


class TensorType(NamedTuple):
    """How the elements of a tensor are stored."""

    name: str
    block_elements: int
    """Elements of a row that are stored together."""
    block_bytes: int


TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    20: TensorType("IQ4_NL", 32, 18),
    28: TensorType("F64", 1, 8),
    30: TensorType("BF16", 1, 2),
    39: TensorType("MXFP4", 32, 17),
}
"""By the numbers that files use."""


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """One tensor of a file."""

    name: str
    shape: tuple[int, ...]
    """As torch counts: the last dimension is contiguous."""
    type: TensorType
    data: np.ndarray[Any, np.dtype[np.uint8]]
    """[rows, bytes of a row], a view of the mapped file."""
    path: Path


@dataclass(frozen=True)
class GGUFFile:
    """What the file, or all files of a split model, hold."""

    path: Path
    metadata: dict[str, Any]
    """Numbers, booleans, strings; numpy arrays of numbers, lists of strings."""
    tensors: dict[str, GGUFTensor]
    num_bytes: int
    """Size of all files."""

    @property
    def architecture(self) -> str:
        """Of the model, by llama.cpp's name for it."""
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """A string; ModelLoadError if it is missing or none."""
        value = self.metadata.get(key)
        if not isinstance(value, str):
            raise ModelLoadError(f"{self.path}: '{key}' must be text, got {value!r}")
        return value


def is_gguf(path: Path) -> bool:
    """Whether ``path`` is a file that begins as a GGUF file does, or is called one."""
    if not path.is_file():
        return False
    if path.suffix == ".gguf":
        return True
    with path.open("rb") as file:
        return file.read(4) == _MAGIC


def open_gguf(path: Path) -> GGUFFile:
    """Read the header of ``path``, and of the other parts of its model if it is split.

    Raises ModelLoadError, which names what is wrong, for anything but a sound file.
    """
    first = _read_file(path)
    count = first.metadata.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return first
    tensors, num_bytes = dict(first.tensors), first.num_bytes
    for part in _other_parts(path, count):
        other = _read_file(part)
        for name, tensor in other.tensors.items():
            if name in tensors:
                raise ModelLoadError(f"tensor {name} is in {tensors[name].path} and in {part}")
            tensors[name] = tensor
        num_bytes += other.num_bytes
    return GGUFFile(path, first.metadata, tensors, num_bytes)


def find_gguf(folder: Path) -> Path | None:
    """The GGUF model in ``folder``: its only file, or the first part of its only split model.

    Raises ModelLoadError if there are several.
    """
    files = sorted(folder.glob("*.gguf"))
    models = [path for path in files if not path.name.startswith("mmproj")]
    models = [path for path in models if _part_number(path) in (None, 1)]
    if len(models) > 1:
        names = ", ".join(path.name for path in models[:8])
        raise ModelLoadError(f"{folder} has several GGUF models; name one of {names}")
    return models[0] if models else None


_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def _part_number(path: Path) -> int | None:
    match = _PART.fullmatch(path.name)
    return int(match["number"]) if match else None


def _other_parts(path: Path, count: int) -> list[Path]:
    match = _PART.fullmatch(path.name)
    if match is None or int(match["number"]) != 1 or int(match["count"]) != count:
        raise ModelLoadError(
            f"{path} is one of {count} parts of a model: give the first one, "
            f"NAME-00001-of-{count:05}.gguf"
        )
    parts = [
        path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf")
        for number in range(2, count + 1)
    ]
    for part in parts:
        if not part.is_file():
            raise ModelLoadError(f"{part} is missing, a part of the model in {path}")
    return parts


def _read_file(path: Path) -> GGUFFile:
    try:
        with path.open("rb") as file:
            # Private: torch wants memory that it could write to, and nothing reaches the file.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise ModelLoadError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise ModelLoadError(f"{path} cannot be read: {error}") from None
    return _Header(path, data).parse()


class _Header:
    """Reads on through a file; whatever would lead beyond its end raises ModelLoadError."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._at = path, data, 0

    def parse(self) -> GGUFFile:
        if self._take(4) != _MAGIC:
            raise self._error("is no GGUF file")
        version = self._number("<u4")
        if version not in _VERSIONS:
            raise self._error(f"has version {version} of the format; 2 and 3 are known")
        num_tensors, num_entries = self._count("tensors"), self._count("metadata entries")
        metadata: dict[str, Any] = {}
        for _ in range(num_entries):
            key = self._text()
            metadata[key] = self._value(self._number("<u4"), key)
        places = [self._place() for _ in range(num_tensors)]
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20:
            raise self._error(f"has a senseless 'general.alignment': {alignment!r}")
        start = -(-self._at // alignment) * alignment
        tensors: dict[str, GGUFTensor] = {}
        for name, shape, kind, offset in places:
            if name in tensors:
                raise self._error(f"has two tensors {name}")
            tensors[name] = self._tensor(name, shape, kind, start + offset)
        return GGUFFile(self._path, metadata, tensors, len(self._data))

    def _place(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        dimensions = self._number("<u4")
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            raise self._error(f"tensor {name} has {dimensions} dimensions")
        shape = tuple(self._number("<u8") for _ in range(dimensions))
        return name, shape[::-1], self._number("<u4"), self._number("<u8")

    def _tensor(self, name: str, shape: tuple[int, ...], kind: int, start: int) -> GGUFTensor:
        if kind not in TENSOR_TYPES:
            known = ", ".join(each.name for each in TENSOR_TYPES.values())
            raise self._error(
                f"tensor {name} is of type {kind}, which is not implemented; known: {known}"
            )
        stored = TENSOR_TYPES[kind]
        if shape[-1] % stored.block_elements:
            raise self._error(
                f"tensor {name} has rows of {shape[-1]} elements, no multiple of the "
                f"{stored.block_elements} of a block of {stored.name}"
            )
        row_bytes = shape[-1] // stored.block_elements * stored.block_bytes
        rows = 1
        for size in shape[:-1]:
            rows *= size
        if not 0 < rows * row_bytes <= len(self._data) - start:
            raise self._error(f"tensor {name} of shape {list(shape)} reaches beyond the end")
        data = np.frombuffer(self._data, np.uint8, count=rows * row_bytes, offset=start)
        return GGUFTensor(name, shape, stored, data.reshape(rows, row_bytes), self._path)

    def _value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self._text()
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind != _ARRAY:
            raise self._error(f"'{key}' is of the unknown type {kind}")
        items, count = self._number("<u4"), self._number("<u8")
        if count > _MAX_ITEMS:
            raise self._error(f"'{key}' has {count} items; at most {_MAX_ITEMS} are read")
        if items == _STRING:
            return [self._text() for _ in range(count)]
        if items not in _NUMBERS:
            raise self._error(f"'{key}' is an array of the type {items}, which is not implemented")
        dtype = np.dtype(_NUMBERS[items])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype)

    def _number(self, dtype: str) -> Any:
        size, convert = _SCALARS[dtype]
        return convert(self._take(size))

    def _text(self) -> str:
        raw = self._take(self._number("<u8"))
        # A token may be any bytes; they come back as they were when they are encoded again.
        return raw.decode("utf-8", errors="surrogateescape")

    def _count(self, what: str) -> int:
        count: int = self._number("<u8")
        if count > _MAX_ITEMS:
            raise self._error(f"claims to have {count} {what}")
        return count

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise self._error("ends in the middle of its header")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _error(self, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self._path} {problem}")


def _scalar(code: str) -> tuple[int, Callable[[bytes], Any]]:
    unpack = struct.Struct(code).unpack
    return struct.calcsize(code), lambda raw: unpack(raw)[0]


_SCALARS = {
    "<u1": _scalar("<B"),
    "<i1": _scalar("<b"),
    "<u2": _scalar("<H"),
    "<i2": _scalar("<h"),
    "<u4": _scalar("<I"),
    "<i4": _scalar("<i"),
    # The shortest decimal that means the same: 1e-06 instead of 9.999999974752427e-07.
    "<f4": (4, lambda raw: float(str(np.frombuffer(raw, "<f4")[0]))),
    "?": _scalar("<?"),
    "<u8": _scalar("<Q"),
    "<i8": _scalar("<q"),
    "<f8": _scalar("<d"),
}
