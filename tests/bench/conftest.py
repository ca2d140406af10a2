"""A tiny checkpoint with a tokenizer, and the comparison's modules on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
# Scripts of benchmarks/cpu import each other by their bare names.
sys.path.insert(0, str(ROOT / "benchmarks" / "cpu"))

from benchmarks.make_model import Shape, train_tokenizer, write_checkpoint  # noqa: E402

WORDS = "the quick brown fox jumps over the lazy dog while many small words become tokens"
TINY = Shape(48, 2, 3, 1, 16, 80, tied=True, rope_theta=1e4, vocab_size=420)


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random bfloat16 model whose tokenizer has some words and a chat template."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_checkpoint(folder, TINY, train_tokenizer(iter([WORDS] * 50), TINY.vocab_size), seed=0)
    return folder


@pytest.fixture(scope="session")
def byte_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one token a byte, the vocabulary that the fake runtime has."""
    folder = tmp_path_factory.mktemp("models") / "bytes"
    write_checkpoint(folder, TINY, train_tokenizer(iter(()), 259), seed=0)
    return folder
