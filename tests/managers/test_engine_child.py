"""The child process of an engine, before it is told what to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from sglang.srt.managers.engine_child import start_engine_child, weight_bytes
from sglang.srt.server_args import ServerArgs


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(bytes(1000))
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(bytes(500))
    (tmp_path / "consolidated.safetensors").write_bytes(bytes(1500))
    return tmp_path


def test_weights_take_what_their_files_take(checkpoint: Path) -> None:
    assert weight_bytes(ServerArgs(model_path=str(checkpoint), device="cpu")) == 1500


@pytest.mark.parametrize(
    "options", [{"device": "cuda"}, {"load_format": "dummy"}, {"torchao_config": "int8dq"}]
)
def test_nothing_is_prepared_for_weights_of_another_size(
    checkpoint: Path, options: dict[str, str]
) -> None:
    args = ServerArgs(model_path=str(checkpoint), **({"device": "cpu"} | options))
    assert weight_bytes(args) == 0


def test_a_child_that_is_never_told_anything_ends_with_its_input(checkpoint: Path) -> None:
    child = start_engine_child(ServerArgs(model_path=str(checkpoint), device="cpu"))
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(timeout=60) == 0
    child.close()


def test_closing_ends_a_child_at_once() -> None:
    child = start_engine_child(ServerArgs(), ("sleep", "1000"))
    child.close()
    assert child.process.returncode is not None
