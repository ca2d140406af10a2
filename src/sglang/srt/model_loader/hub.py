"""From a model's name to a local folder: a path, a Hugging Face id or a ModelScope id."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Protocol

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_file import find_gguf, is_gguf

USE_MODELSCOPE_ENV = "SGLANG_USE_MODELSCOPE"

CONFIG_PATTERNS = ["*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken"]
"""Everything small: configuration, tokenizer, chat template."""

_SAFETENSORS_PATTERNS = [*CONFIG_PATTERNS, "*.safetensors"]
_BIN_PATTERNS = [*CONFIG_PATTERNS, "*.bin"]

_REPOSITORY_ID = re.compile(r"[A-Za-z0-9_][\w.\-]*(/[\w.\-]+)?")


class Fetch(Protocol):
    """Downloads a snapshot of a repository, or finds it in the cache; returns its folder."""

    def __call__(
        self,
        repo_id: str,
        *,
        revision: str | None,
        download_dir: str | None,
        allow_patterns: list[str],
    ) -> str: ...


def resolve_model_path(
    model_path: str,
    *,
    revision: str | None = None,
    download_dir: str | None = None,
    load_format: str = "auto",
    fetch: Fetch | None = None,
) -> str:
    """The local folder of a model, or its GGUF file.

    A GGUF file, or the one in a folder that has no other weights or with ``load_format="gguf"``, is
    returned as it is, and so is a folder. Anything else must be a repository id, which is fetched
    from ModelScope if the environment sets SGLANG_USE_MODELSCOPE, else from the Hugging Face hub
    (with the token in HF_TOKEN). ``.bin`` weights are fetched only if there are no safetensors, and
    no weights at all for ``load_format="dummy"``. ``fetch`` replaces the download.

    Raises ModelLoadError with one line that says what was looked for and where.
    """
    path = Path(model_path).expanduser()
    if model_path and path.is_dir():
        return str(_model_in(path, load_format))
    if path.is_file():
        if not is_gguf(path):
            raise ModelLoadError(
                f"model path {model_path!r} is a file; the model's folder is needed"
            )
        return str(path)
    if load_format == "gguf":
        raise ModelLoadError(
            f"model path {model_path!r} is no local GGUF file and no folder with one; download the "
            "file that you want (hf download REPOSITORY FILE.gguf)"
        )
    if not _REPOSITORY_ID.fullmatch(model_path) or ".." in model_path:
        raise ModelLoadError(f"model path {model_path!r} is no local folder and no repository id")
    hub, default_fetch = _chosen_hub()
    fetch = fetch or default_fetch

    def get(patterns: list[str]) -> Path:
        try:
            return Path(
                fetch(
                    model_path,
                    revision=revision,
                    download_dir=download_dir,
                    allow_patterns=patterns,
                )
            )
        except ModelLoadError:
            raise
        except Exception as error:  # every client library has its own family of errors
            at = f" at revision {revision!r}" if revision else ""
            raise ModelLoadError(
                f"model {model_path!r} is no local folder and could not be fetched from {hub}{at}: "
                f"{_one_line(error)}"
            ) from error

    if load_format == "dummy":
        return str(get(CONFIG_PATTERNS))
    folder = get(_BIN_PATTERNS if load_format == "pt" else _SAFETENSORS_PATTERNS)
    if load_format == "auto" and not any(folder.glob("*.safetensors")):
        folder = get(_BIN_PATTERNS)
    return str(folder)


def _model_in(folder: Path, load_format: str) -> Path:
    """The folder itself, or the GGUF file that is meant by it."""
    if load_format not in ("gguf", "auto", "dummy"):
        return folder
    has_weights = any(any(folder.glob(f"*.{kind}")) for kind in ("safetensors", "bin", "pt"))
    needs_none = load_format == "dummy" and (folder / "config.json").is_file()
    if load_format != "gguf" and (has_weights or needs_none):
        return folder
    file = find_gguf(folder)
    if file is None and load_format == "gguf":
        raise ModelLoadError(f"{folder} has no GGUF file for load format 'gguf'")
    return file or folder


def _chosen_hub() -> tuple[str, Fetch]:
    if os.environ.get(USE_MODELSCOPE_ENV, "").strip().lower() in ("1", "true", "yes"):
        return "ModelScope", _fetch_modelscope
    return "the Hugging Face hub", _fetch_hugging_face


def _fetch_hugging_face(
    repo_id: str, *, revision: str | None, download_dir: str | None, allow_patterns: list[str]
) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(
        repo_id,
        revision=revision,
        cache_dir=download_dir,
        allow_patterns=allow_patterns,
        # Mistral ships its own copy of the weights next to the Hugging Face one.
        ignore_patterns=["consolidated*", "original/*"],
    )


def _fetch_modelscope(
    repo_id: str, *, revision: str | None, download_dir: str | None, allow_patterns: list[str]
) -> str:
    try:
        modelscope = importlib.import_module("modelscope.hub.snapshot_download")
    except ImportError:
        raise ModelLoadError(
            f"{USE_MODELSCOPE_ENV} is set but the modelscope package is missing: "
            "pip install modelscope"
        ) from None
    folder = modelscope.snapshot_download(
        repo_id, revision=revision, cache_dir=download_dir, allow_file_pattern=allow_patterns
    )
    return str(folder)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
