"""From a text to its embedding, through the engine process: as transformers does it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch.nn import functional as F

import sglang
from tests.models.pooled_helpers import make_pooled_checkpoint

TEXTS = ["The quick brown fox", "jumps over", "the lazy dog. The quick fox is not lazy!"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights with a tokenizer for TEXTS."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    core.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    )
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    model = make_pooled_checkpoint(tmp_path_factory.mktemp("bert"), "BertModel")
    core.save(str(model / "tokenizer.json"))
    return model


@pytest.fixture(scope="module")
def llm(folder: Path) -> Iterator[sglang.Engine]:
    with sglang.Engine(model_path=str(folder), dtype="float32", device="cpu") as engine:
        yield engine


def expected(folder: Path, text: str) -> list[float]:
    """The mean of the hidden states, of length one."""
    from transformers import AutoModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        hidden = model(torch.tensor([tokenizer.encode(text)])).last_hidden_state[0]
    vector: list[float] = F.normalize(hidden.mean(0), dim=-1).tolist()
    return vector


def test_texts_are_embedded_in_their_order(llm: sglang.Engine, folder: Path) -> None:
    answers = llm.encode(TEXTS)
    assert isinstance(answers, list)
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer["embedding"] == pytest.approx(expected(folder, text), abs=1e-4)


def test_one_text_gives_one_answer(llm: sglang.Engine, folder: Path) -> None:
    answer = asyncio.run(llm.async_encode(TEXTS[0], rid="r"))
    assert isinstance(answer, dict)
    assert answer["embedding"] == pytest.approx(expected(folder, TEXTS[0]), abs=1e-4)
    assert answer["meta_info"]["id"] == "r"


def test_an_embedding_engine_generates_nothing(llm: sglang.Engine) -> None:
    with pytest.raises(ValueError, match="its model generates nothing"):
        llm.generate("The quick brown fox")


def test_unknown_arguments_are_named(llm: sglang.Engine) -> None:
    with pytest.raises(ValueError, match="unexpected keyword argument 'typo'"):
        llm.encode("a", typo=1)
