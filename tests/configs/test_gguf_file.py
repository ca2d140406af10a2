"""GGUF files: what is read, and that a damaged one gives a clear error and nothing else."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_config import load_gguf_config
from sglang.srt.configs.gguf_file import find_gguf, is_gguf, open_gguf
from tests.model_loader.gguf_writer import Stored, stored, write_gguf

METADATA = {
    "general.architecture": "llama",
    "a.number": 7,
    "a.float": 0.5,
    "a.switch": True,
    "some.texts": ["one", "zwei ü"],
    "some.numbers": [1, -2, 3],
}
TENSORS = {
    "first": stored(torch.arange(6.0).view(2, 3)),
    "second": stored(torch.arange(4, dtype=torch.float16)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "model.gguf", METADATA, TENSORS)


def test_metadata(path: Path) -> None:
    found = dict(open_gguf(path).metadata)
    assert found.pop("some.numbers").tolist() == [1, -2, 3]
    assert found == {key: value for key, value in METADATA.items() if key != "some.numbers"}


def test_tensors(path: Path) -> None:
    tensors = open_gguf(path).tensors
    assert tensors["first"].shape == (2, 3)
    assert tensors["first"].data.view(np.float32).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["second"].type.name == "F16"


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", {"tokens": [b"\xff\xfe", b"a"]}, {})
    tokens = open_gguf(path).metadata["tokens"]
    assert tokens[0].encode(errors="surrogateescape") == b"\xff\xfe"


def test_a_file_that_ends_anywhere_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole) - 32):  # the last tensor is filled up to the alignment
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelLoadError, match=r"cut\.gguf"):
            open_gguf(cut)


def test_a_changed_byte_gives_no_other_error(path: Path, tmp_path: Path) -> None:
    whole = bytearray(path.read_bytes())
    for place in range(len(whole) - 64):
        changed = bytearray(whole)
        changed[place] ^= 0x81
        (tmp_path / "bad.gguf").write_bytes(changed)
        with contextlib.suppress(ModelLoadError):
            open_gguf(tmp_path / "bad.gguf")


DAMAGED = {
    "magic": (0, b"GGML", "is no GGUF file"),
    "version": (4, struct.pack("<I", 1), "version 1 of the format"),
    "big endian": (4, struct.pack(">I", 3), "version 50331648 of the format"),
    "tensors": (8, struct.pack("<Q", 1 << 60), "claims to have 1152921504606846976 tensors"),
    "entries": (16, struct.pack("<Q", 1 << 40), "claims to have 1099511627776 metadata entries"),
    "length of a key": (24, struct.pack("<Q", 1 << 63), "ends in the middle of its header"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_header_is_named(path: Path, name: str) -> None:
    place, raw, message = DAMAGED[name]
    data = bytearray(path.read_bytes())
    data[place : place + len(raw)] = raw
    path.write_bytes(data)
    with pytest.raises(ModelLoadError, match=message):
        open_gguf(path)


BAD_TENSORS = {
    "unknown type": (Stored((4,), 99, bytes(16)), "is of type 99, which is not implemented"),
    "beyond the end": (Stored((1 << 40,), 0, bytes(16)), "reaches beyond the end"),
    "overflowing": (Stored((1 << 62, 1 << 62), 0, bytes(16)), "reaches beyond the end"),
    "empty": (Stored((0, 4), 0, b""), "reaches beyond the end"),
    "no dimension": (Stored((), 0, bytes(4)), "has 0 dimensions"),
    "five dimensions": (Stored((1,) * 5, 0, bytes(4)), "has 5 dimensions"),
    "part of a block": (Stored((2, 48), 2, bytes(54)), "no multiple of the 32 of a block of Q4_0"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_senseless_tensor_is_named(tmp_path: Path, name: str) -> None:
    tensor, message = BAD_TENSORS[name]
    path = write_gguf(tmp_path / "model.gguf", {}, {"x": tensor})
    with pytest.raises(ModelLoadError, match=message):
        open_gguf(path)


@pytest.mark.parametrize("alignment", [0, 1 << 30])
def test_senseless_alignment(tmp_path: Path, alignment: int) -> None:
    path = write_gguf(tmp_path / "model.gguf", {"general.alignment": alignment}, TENSORS)
    with pytest.raises(ModelLoadError, match=r"senseless 'general\.alignment'"):
        open_gguf(path)


def write_parts(folder: Path) -> list[Path]:
    paths = [folder / f"big-0000{number}-of-00002.gguf" for number in (1, 2)]
    for path, (name, tensor) in zip(paths, TENSORS.items(), strict=True):
        write_gguf(path, {**METADATA, "split.count": 2}, {name: tensor})
    return paths


def test_split_models_are_one(tmp_path: Path) -> None:
    assert set(open_gguf(write_parts(tmp_path)[0]).tensors) == {"first", "second"}


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first, second = write_parts(tmp_path)
    second.unlink()
    with pytest.raises(ModelLoadError, match=r"big-00002-of-00002\.gguf is missing"):
        open_gguf(first)


def test_a_model_begins_with_its_first_part(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="give the first one"):
        open_gguf(write_parts(tmp_path)[1])


def test_the_model_of_a_folder(tmp_path: Path) -> None:
    first, _ = write_parts(tmp_path)
    write_gguf(tmp_path / "mmproj-model.gguf", {}, {})
    assert find_gguf(tmp_path) == first


def test_several_models_in_a_folder(path: Path) -> None:
    write_gguf(path.with_name("other.gguf"), {}, {})
    with pytest.raises(ModelLoadError, match=r"name one of model\.gguf, other\.gguf"):
        find_gguf(path.parent)


def test_a_file_is_known_by_its_first_bytes(path: Path, tmp_path: Path) -> None:
    assert is_gguf(path.rename(tmp_path / "model"))
    (tmp_path / "text").write_text("GGU")
    assert not is_gguf(tmp_path / "text")
    assert not is_gguf(tmp_path)


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"general.architecture": "mamba"}, TENSORS)
    with pytest.raises(ModelLoadError, match="architecture 'mamba' are not implemented yet"):
        load_gguf_config(path)


def test_values_that_differ_by_layer_are_refused(tmp_path: Path) -> None:
    metadata = {"general.architecture": "llama", "llama.attention.head_count_kv": [2, 4]}
    path = write_gguf(tmp_path / "m.gguf", metadata, TENSORS)
    with pytest.raises(ModelLoadError, match=r"head_count_kv' differs by layer"):
        load_gguf_config(path)
