from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizer_samples as samples

from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family -> the directory of a checkpoint."""
    root = tmp_path_factory.mktemp("tokenizers")
    return {family: samples.save(family, root / family) for family in samples.FAMILIES}


@pytest.fixture(scope="session")
def ours(checkpoints: dict[str, Path]) -> dict[str, Tokenizer]:
    """Family -> our tokenizer."""
    return {family: load_tokenizer(str(path)) for family, path in checkpoints.items()}


@pytest.fixture(scope="session")
def theirs(checkpoints: dict[str, Path]) -> Callable[[str], Any]:
    """Family -> the tokenizer of transformers."""
    transformers = pytest.importorskip("transformers")
    loaded: dict[str, Any] = {}

    def get(family: str) -> Any:
        if family not in loaded:
            path = str(checkpoints[family])
            loaded[family] = transformers.PreTrainedTokenizerFast.from_pretrained(path)
        return loaded[family]

    return get
