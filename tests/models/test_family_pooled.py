"""Embeddings and scores of families beyond those of ``pooled_helpers``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.models.interface import PooledModel
from sglang.srt.models.load import load_pooled_model
from tests.models.family_helpers import CASES, make_family
from tests.models.model_helpers import HandDriver, random_tokens

PROMPT = random_tokens(30, 199)


def load(folder: Path, **options: Any) -> PooledModel:
    config = load_model_config(str(folder), dtype="float32", **options)
    return load_pooled_model(config, device=torch.device("cpu"), kernels=ReferenceKernels())


def answer(model: PooledModel) -> torch.Tensor:
    """What becomes of the last token's hidden state."""
    driver = HandDriver(model.transformer)
    with torch.inference_mode():
        hidden = model.transformer.forward(driver.make_batch({"p": PROMPT}))
        return model.answer(hidden[-1:].float())[0]


def expected_hidden(oracle: Any) -> torch.Tensor:
    with torch.inference_mode():
        hidden: torch.Tensor = oracle.base_model(torch.tensor([PROMPT])).last_hidden_state[0, -1]
        return hidden


@pytest.mark.parametrize("case", ["gemma3", "cohere", "gpt2", "exaone"])
def test_an_embedding_is_the_last_hidden_state(case: str, tmp_path: Path) -> None:
    oracle = make_family(tmp_path, CASES[case])
    found = answer(load(tmp_path, is_embedding=True))
    torch.testing.assert_close(
        found, F.normalize(expected_hidden(oracle), dim=-1), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("case", "architecture", "head", "num_scores"),
    [
        ("gemma2", "Gemma2ForSequenceClassification", "score", 3),
        ("internlm2", "InternLM2ForRewardModel", "v_head", 1),
    ],
)
def test_scores_are_those_of_the_head(
    case: str, architecture: str, head: str, num_scores: int, tmp_path: Path
) -> None:
    oracle = make_family(tmp_path, CASES[case])
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.pop("output.weight", None)
    weight = torch.randn(num_scores, 48, generator=torch.Generator().manual_seed(3))
    tensors[f"{head}.weight"] = weight
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    labels = {str(i): str(i) for i in range(num_scores)}
    config |= {"architectures": [architecture], "id2label": labels}
    (tmp_path / "config.json").write_text(json.dumps(config))

    expected = weight @ expected_hidden(oracle)
    torch.testing.assert_close(answer(load(tmp_path)), expected, atol=1e-3, rtol=0)
