"""The tokenizer that prompts are made with."""

from __future__ import annotations

from sglang.srt.model_loader.hub import resolve_model_path
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer


def open_tokenizer(path: str, *, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model folder or a model on the hub.

    Raises:
        ValueError: there is none.
    """
    folder = resolve_model_path(path, revision=revision, load_format="dummy")
    return load_tokenizer(folder)
