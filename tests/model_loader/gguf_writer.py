"""Writes small GGUF files, by the description of the format alone."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

F32, F16, BF16 = 0, 1, 30
ALIGNMENT = 32


class Stored(NamedTuple):
    """A tensor in the file."""

    shape: tuple[int, ...]
    """As torch counts."""
    type: int
    data: bytes


def stored(tensor: torch.Tensor) -> Stored:
    """A plain tensor of float32, float16 or bfloat16."""
    number = {torch.float32: F32, torch.float16: F16, torch.bfloat16: BF16}[tensor.dtype]
    raw = tensor.contiguous().view(torch.uint8).numpy().tobytes()
    return Stored(tuple(tensor.shape), number, raw)


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Stored]) -> Path:
    """Values may be bool, int, float, str, or lists of one of them."""
    out = bytearray(b"GGUF")
    out += struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += _text(key) + _typed(value)
    offset, data = 0, bytearray()
    for name, tensor in tensors.items():
        out += _text(name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", size) for size in reversed(tensor.shape))
        out += struct.pack("<IQ", tensor.type, offset)
        data += tensor.data + bytes(-len(tensor.data) % ALIGNMENT)
        offset = len(data)
    out += bytes(-len(out) % ALIGNMENT)
    path.write_bytes(bytes(out + data))
    return path


def _text(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


_KINDS = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}


def _typed(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if not isinstance(value, list):
        number, code = _KINDS[type(value)]
        return struct.pack("<I", number) + struct.pack(code, value)
    if value and isinstance(value[0], str | bytes):
        items = b"".join(_text(item) for item in value)
        return struct.pack("<IIQ", 9, 8, len(value)) + items
    number, code = _KINDS[type(value[0])] if value else _KINDS[int]
    if number == 4:  # lists of integers are signed in real files
        number, code = 5, "<i"
    items = np.array(value, dtype=code).tobytes()
    return struct.pack("<IIQ", 9, number, len(value)) + items
