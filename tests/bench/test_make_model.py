"""The benchmark checkpoints: their sizes, and that transformers and we read them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.make_model import SHAPES, main
from sglang.bench.tokenizers import open_tokenizer
from tests.models.model_helpers import load_oracle


@pytest.mark.parametrize(("name", "millions"), [("llama-135m", 124.6), ("llama-0.5b", 430.5)])
def test_number_of_parameters(name: str, millions: float) -> None:
    count = sum(math.prod(size) for _, size in SHAPES[name].tensors())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_transformers_finds_every_weight(checkpoint: Path) -> None:
    oracle = load_oracle(checkpoint)
    assert oracle.model.embed_tokens.weight is oracle.lm_head.weight
    weight = oracle.model.layers[0].mlp.up_proj.weight.detach()
    assert float(weight.std()) == pytest.approx(0.02, rel=0.1)


def test_the_tokenizer_has_a_chat_template_and_its_special_tokens(checkpoint: Path) -> None:
    tokenizer = open_tokenizer(str(checkpoint))
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 2)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "the fox"}])
    assert ids[0] == 1
    assert tokenizer.decode(ids) == "<|im_start|>user\nthe fox<|im_end|>\n"


def test_unknown_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--only", "llama-9t"])
    assert "there is no model 'llama-9t'" in capsys.readouterr().err
