"""From a name to a folder, without a network: the download is replaced or its package faked."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.hub import USE_MODELSCOPE_ENV, resolve_model_path


class FakeHub:
    """Serves a repository that has ``files``; records what it was asked for."""

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder = folder
        self.files = files
        self.calls: list[dict[str, Any]] = []

    def __call__(self, repo_id: str, **options: Any) -> str:
        self.calls.append({"repo_id": repo_id, **options})
        for name in self.files:
            if any(Path(name).match(pattern) for pattern in options["allow_patterns"]):
                (self.folder / name).touch()
        return str(self.folder)

    def fetched(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def test_local_folder_is_returned_as_it_is(tmp_path: Path) -> None:
    assert resolve_model_path(str(tmp_path)) == str(tmp_path)


def test_repository_id_is_fetched_with_revision_and_folder(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path, "config.json", "model.safetensors")
    path = resolve_model_path("org/model", revision="v2", download_dir="/data", fetch=hub)
    assert path == str(tmp_path)
    assert [(c["repo_id"], c["revision"], c["download_dir"]) for c in hub.calls] == [
        ("org/model", "v2", "/data")
    ]


def test_bin_files_are_skipped_when_there_are_safetensors(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path, "config.json", "model.safetensors", "pytorch_model.bin")
    resolve_model_path("org/model", fetch=hub)
    assert hub.fetched() == {"config.json", "model.safetensors"}


def test_bin_files_are_fetched_when_there_are_no_safetensors(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path, "config.json", "tokenizer.model", "pytorch_model.bin")
    resolve_model_path("org/model", fetch=hub)
    assert hub.fetched() == {"config.json", "tokenizer.model", "pytorch_model.bin"}


def test_load_format_pt_fetches_bin_files_only(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path, "model.safetensors", "pytorch_model.bin")
    resolve_model_path("org/model", load_format="pt", fetch=hub)
    assert hub.fetched() == {"pytorch_model.bin"}


def test_dummy_weights_need_no_weight_files(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path, "config.json", "model.safetensors", "pytorch_model.bin")
    resolve_model_path("org/model", load_format="dummy", fetch=hub)
    assert hub.fetched() == {"config.json"}


def test_failed_download_is_one_clear_line() -> None:
    def fail(repo_id: str, **options: Any) -> str:
        raise ConnectionError("no route\nto host")

    with pytest.raises(ModelLoadError) as caught:
        resolve_model_path("org/model", revision="main", fetch=fail)
    message = str(caught.value)
    assert "org/model" in message and "Hugging Face" in message and "no route to host" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "path", ["/does/not/exist", "./models/missing", "a/b/c", "../up", "a/..", "", "white space"]
)
def test_path_that_is_no_folder_is_refused_without_a_download(path: str) -> None:
    def fail(repo_id: str, **options: Any) -> str:
        raise AssertionError("must not be called")

    with pytest.raises(ModelLoadError, match="no local folder"):
        resolve_model_path(path, fetch=fail)


def test_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelLoadError, match="is a file"):
        resolve_model_path(str(file))


def test_modelscope_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(USE_MODELSCOPE_ENV, "true")
    monkeypatch.setitem(sys.modules, "modelscope", None)
    monkeypatch.setitem(sys.modules, "modelscope.hub.snapshot_download", None)
    with pytest.raises(ModelLoadError, match="pip install modelscope"):
        resolve_model_path("qwen/Qwen2-7B-Instruct")


def test_modelscope_is_used_when_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked.append(repo_id)
        (tmp_path / "model.safetensors").touch()
        return str(tmp_path)

    module = types.ModuleType("modelscope.hub.snapshot_download")
    module.snapshot_download = snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope", types.ModuleType("modelscope"))
    monkeypatch.setitem(sys.modules, "modelscope.hub", types.ModuleType("modelscope.hub"))
    monkeypatch.setitem(sys.modules, "modelscope.hub.snapshot_download", module)
    monkeypatch.setenv(USE_MODELSCOPE_ENV, "True")
    assert resolve_model_path("qwen/Qwen2-7B-Instruct") == str(tmp_path)
    assert asked == ["qwen/Qwen2-7B-Instruct"]


def test_offline_hub_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.delenv(USE_MODELSCOPE_ENV, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadError, match=r"org/model.*could not be fetched") as caught:
        resolve_model_path("org/model", download_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
