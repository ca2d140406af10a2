"""Reading checkpoints: formats, shards, slices, and the messages for damaged ones."""

from __future__ import annotations

import json
import logging
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.checkpoint import open_checkpoint
from sglang.srt.model_loader.weights import TensorSpec, WeightReader

TENSORS = {
    "a": torch.arange(24, dtype=torch.float32).view(6, 4),
    "b": torch.arange(8, dtype=torch.float32).view(2, 4) + 100,
    "norm": torch.ones(4, dtype=torch.float16) * 2,
}
A = TensorSpec("a", (6, 4))
B = TensorSpec("b", (2, 4))


def reader(folder: Path, load_format: str = "auto", **options: Any) -> WeightReader:
    options = {"dtype": torch.float32, "device": torch.device("cpu"), **options}
    return WeightReader(open_checkpoint(str(folder), load_format), show_progress=False, **options)


def write_sharded(folder: Path, kind: str) -> None:
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    names = {"a": 1, "b": 2, "norm": 2}
    for number in (1, 2):
        part = {name: TENSORS[name] for name, n in names.items() if n == number}
        path = folder / f"{stem}-{number}.{suffix}"
        if kind == "safetensors":
            save_file(part, path)
        else:
            torch.save(part, path)
    weight_map = {name: f"{stem}-{number}.{suffix}" for name, number in names.items()}
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))


@pytest.fixture(params=["safetensors", "sharded safetensors", "bin", "sharded bin", "legacy bin"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    kind = request.param
    if kind == "safetensors":
        save_file(TENSORS, tmp_path / "model.safetensors")
    elif kind.startswith("sharded"):
        write_sharded(tmp_path, kind.split()[1])
    else:
        zipped = kind == "bin"
        torch.save(TENSORS, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    yield tmp_path


def test_reads_a_tensor(folder: Path) -> None:
    with reader(folder) as weights:
        assert torch.equal(weights.read(A), TENSORS["a"])


def test_converts_the_dtype(folder: Path) -> None:
    with reader(folder, dtype=torch.bfloat16) as weights:
        norm = weights.read(TensorSpec("norm", (4,)))
    assert norm.dtype == torch.bfloat16
    assert norm.tolist() == [2, 2, 2, 2]


def test_joins_fused_tensors(folder: Path) -> None:
    with reader(folder) as weights:
        fused = weights.read_fused([A, B])
    assert torch.equal(fused, torch.cat((TENSORS["a"], TENSORS["b"])))


@pytest.mark.parametrize(("rank", "dim"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_rank_reads_its_part(folder: Path, rank: int, dim: int) -> None:
    with reader(folder, tp_rank=rank, tp_size=2) as weights:
        part = weights.read(TensorSpec("a", (6, 4), dim))
    assert torch.equal(part, TENSORS["a"].chunk(2, dim)[rank])


def test_a_rank_joins_its_parts(folder: Path) -> None:
    specs = [TensorSpec("a", (6, 4), 0), TensorSpec("b", (2, 4), 0)]
    with reader(folder, tp_rank=1, tp_size=2) as weights:
        fused = weights.read_fused(specs)
    assert torch.equal(fused, torch.cat((TENSORS["a"][3:], TENSORS["b"][1:])))


def test_weights_outlive_the_files(folder: Path) -> None:
    with reader(folder) as weights:
        tensor = weights.read(A)
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert torch.equal(tensor, TENSORS["a"])


def test_uneven_split_is_refused(folder: Path) -> None:
    with reader(folder, tp_size=4) as weights, pytest.raises(ModelLoadError, match="split over 4"):
        weights.read(TensorSpec("a", (6, 4), 0))


def test_missing_tensor_names_tensor_and_place(folder: Path) -> None:
    with reader(folder) as weights, pytest.raises(ModelLoadError) as caught:
        weights.read(TensorSpec("c", (3, 2)))
    message = str(caught.value)
    assert "missing tensor c" in message and "[3, 2]" in message and str(folder) in message


def test_wrong_shape_names_both_shapes_and_the_file(folder: Path) -> None:
    with reader(folder) as weights, pytest.raises(ModelLoadError) as caught:
        weights.read(TensorSpec("a", (4, 6)))
    message = str(caught.value)
    assert "tensor a" in message and "[6, 4]" in message and "[4, 6]" in message
    assert str(folder / "") in message


def test_unused_tensors_are_reported_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), reader(folder) as weights:
        weights.read(A)
        weights.finish()
    assert [record.getMessage() for record in caplog.records] == [
        "2 tensors of the checkpoint are not used: b, norm"
    ]


def test_report_counts_bytes(folder: Path) -> None:
    with reader(folder) as weights:
        weights.read(A)
        weights.ignore("b")
        weights.ignore("norm")
        report = weights.finish()
    assert report.num_bytes == 24 * 4
    assert "GB/s" in str(report)


def test_safetensors_are_preferred(tmp_path: Path) -> None:
    save_file({"a": TENSORS["a"]}, tmp_path / "model.safetensors")
    torch.save({"a": TENSORS["a"] * 0}, tmp_path / "pytorch_model.bin")
    with reader(tmp_path) as weights:
        assert torch.equal(weights.read(A), TENSORS["a"])


def test_load_format_pt_takes_bin(tmp_path: Path) -> None:
    save_file({"a": TENSORS["a"] * 0}, tmp_path / "model.safetensors")
    torch.save({"a": TENSORS["a"]}, tmp_path / "pytorch_model.bin")
    with reader(tmp_path, "pt") as weights:
        assert torch.equal(weights.read(A), TENSORS["a"])


def test_shards_without_an_index_are_joined(tmp_path: Path) -> None:
    save_file({"a": TENSORS["a"]}, tmp_path / "model-1.safetensors")
    save_file({"b": TENSORS["b"]}, tmp_path / "model-2.safetensors")
    save_file(TENSORS, tmp_path / "consolidated.safetensors")
    with reader(tmp_path) as weights:
        assert torch.equal(weights.read_fused([A, B])[6:], TENSORS["b"])


def test_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    save_file({"a": TENSORS["a"]}, tmp_path / "x.safetensors")
    save_file({"a": TENSORS["a"]}, tmp_path / "y.safetensors")
    with pytest.raises(ModelLoadError, match=r"tensor a .*x\.safetensors.*y\.safetensors"):
        reader(tmp_path)


@pytest.mark.parametrize("load_format", ["auto", "safetensors", "pt"])
def test_folder_without_weights_is_refused(tmp_path: Path, load_format: str) -> None:
    with pytest.raises(ModelLoadError, match="has no weights"):
        reader(tmp_path, load_format)


def test_unknown_load_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="load_format must be one of"):
        reader(tmp_path, "npcache")


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    save_file({"a": TENSORS["a"].int()}, tmp_path / "model.safetensors")
    with reader(tmp_path) as weights, pytest.raises(ModelLoadError, match=r"tensor a .*int32"):
        weights.read(A)


# ---------------------------------------------------------------- hostile and damaged files


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "..", "sub/x", "a\\b", None, 3])
def test_index_may_name_plain_files_of_the_folder_only(tmp_path: Path, name: Any) -> None:
    save_file(TENSORS, tmp_path / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match="tensor b is in"):
        reader(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_broken_index_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"index\.json"):
        reader(tmp_path)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_sharded(tmp_path, "safetensors")
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"model-2\.safetensors is missing"):
        reader(tmp_path)


def test_tensor_that_only_the_index_knows_is_named(tmp_path: Path) -> None:
    write_sharded(tmp_path, "safetensors")
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["ghost"] = "model-1.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match=r"model-1\.safetensors lacks tensor ghost"):
        reader(tmp_path)


def header(tensors: dict[str, Any], length: int | None = None, data: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x02",
        header({}, length=1 << 62),
        header({"a": {"dtype": "F32", "shape": [6, 4], "data_offsets": [0, 1 << 40]}}),
        header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}}),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [8, 24]}}),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}),
        header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, data=b"\0" * 8),
    ],
    ids=["empty", "short", "length", "end", "shape", "hole", "reversed", "cut off"],
)
def test_damaged_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"model\.safetensors is not a sound"):
        reader(tmp_path)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    victim = tmp_path / "victim"
    torch.save(
        {"a": Bomb(victim)},
        tmp_path / "pytorch_model.bin",
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(ModelLoadError, match=r"pytorch_model\.bin"):
        reader(tmp_path)
    assert not victim.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps([1, 2])])
def test_damaged_bin_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"pytorch_model\.bin"):
        reader(tmp_path)


def test_bin_that_holds_no_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"a": "text"}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="entry 'a' is not a named tensor"):
        reader(tmp_path)


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    torch.save({"a": TENSORS["a"].to_sparse()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="entry 'a' is not a named tensor"):
        reader(tmp_path)


def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    with reader(tmp_path) as weights, pytest.raises(ModelLoadError, match="tensor a has shape"):
        weights.read(TensorSpec("a", (1 << 30, 1 << 30)))


# ---------------------------------------------------------------- made-up weights


def test_dummy_weights_need_no_files_and_are_always_the_same(tmp_path: Path) -> None:
    spec = TensorSpec("layers.0.up.weight", (30, 20))
    first, second = (reader(tmp_path, "dummy").read(spec) for _ in range(2))
    assert torch.equal(first, second)
    assert 0.5 < first.std() * 20**0.5 < 2


def test_dummy_weights_differ_by_name(tmp_path: Path) -> None:
    weights = reader(tmp_path, "dummy")
    assert not torch.equal(
        weights.read(TensorSpec("x.weight", (8, 8))), weights.read(TensorSpec("y.weight", (8, 8)))
    )


def test_ranks_of_dummy_weights_fit_together(tmp_path: Path) -> None:
    whole = reader(tmp_path, "dummy").read(TensorSpec("x.weight", (8, 6)))
    parts = [
        reader(tmp_path, "dummy", tp_rank=rank, tp_size=2).read(TensorSpec("x.weight", (8, 6), 1))
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_progress_bar_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    for shown in (True, False, None):
        weights = WeightReader(
            open_checkpoint(str(tmp_path)),
            dtype=torch.float32,
            device=torch.device("cpu"),
            show_progress=shown,
        )
        with weights:
            weights.read(A)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("Loading weights" in err) is (shown is True)  # None: stderr is no terminal here
