"""Tiny random embedding and reward models, and what transformers makes of prompts with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from tests.models.model_helpers import TINY, randomize

DECODERS = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
ENCODER = "BertModel"
CLASSIFIERS = (
    "LlamaForSequenceClassification",
    "MistralForSequenceClassification",
    "Qwen2ForSequenceClassification",
    "Qwen3ForSequenceClassification",
)
REWARD_MODEL = "Qwen2ForRewardModel"
WEIGHTED_MODEL = "LlamaForSequenceClassificationWithNormal_Weights"


def make_pooled_checkpoint(
    folder: Path, architecture: str, *, pooling: str | None = None, **overrides: Any
) -> Path:
    """Write a random model of ``architecture`` to ``folder`` (created) and return it.

    ``pooling`` is a flag of sentence-transformers, without the leading ``pooling_mode_``.
    ``overrides`` are keys of the transformers configuration, over TINY.
    """
    if architecture in _HEADS:
        return _make_reward_model(folder, architecture, **overrides)
    model = _random(architecture, **overrides)
    model.save_pretrained(folder)
    if pooling is not None:
        write_pooling(folder, {f"pooling_mode_{pooling}": True, "pooling_mode_max_tokens": False})
    return folder


def write_pooling(folder: Path, config: dict[str, Any]) -> None:
    """The files in which sentence-transformers keeps the pooling of a model."""
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


def expected_embedding(folder: Path, prompt: Sequence[int], pooling: str = "last") -> torch.Tensor:
    """[H] float32, of length one."""
    hidden = _hidden_states(folder, prompt)
    pooled = {"last": hidden[-1], "mean": hidden.mean(0), "cls": hidden[0]}[pooling]
    return F.normalize(pooled, dim=-1)


def expected_scores(folder: Path, prompt: Sequence[int]) -> torch.Tensor:
    """[number of labels] float32."""
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
        if architecture not in _HEADS:
            model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
            scores: torch.Tensor = model.eval()(ids).logits[0]
            return scores
        weights = load_file(folder / "model.safetensors")

        def linear(name: str, x: torch.Tensor) -> torch.Tensor:
            return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

        last = _hidden_states(folder, prompt)[-1]
        if architecture == REWARD_MODEL:
            return linear("score.2", F.relu(linear("score.0", last)))
        inner = F.selu(linear("weights.fc.2", F.selu(linear("weights.fc.0", last))))
        means = linear("score", last).view(-1, 2)[:, 0]
        return (means * linear("weights.fc.4", inner)).sum(-1, keepdim=True)


def _hidden_states(folder: Path, prompt: Sequence[int]) -> torch.Tensor:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.inference_mode():
        hidden: torch.Tensor = model.eval()(torch.tensor([list(prompt)])).last_hidden_state[0]
    return hidden


def _random(architecture: str, **overrides: Any) -> Any:
    """The transformers model with weights that make its outputs differ."""
    import transformers

    model_class = getattr(transformers, architecture)
    config = model_class.config_class(**{**TINY, "pad_token_id": None, **overrides})
    model = model_class(config)
    randomize(model)
    return model


_SIZE = TINY["hidden_size"]
_HEADS: dict[str, dict[str, tuple[int, ...]]] = {
    REWARD_MODEL: {
        "score.0.weight": (_SIZE, _SIZE),
        "score.0.bias": (_SIZE,),
        "score.2.weight": (1, _SIZE),
        "score.2.bias": (1,),
    },
    WEIGHTED_MODEL: {
        "score.weight": (10, _SIZE),
        "weights.fc.0.weight": (_SIZE, _SIZE),
        "weights.fc.0.bias": (_SIZE,),
        "weights.fc.2.weight": (_SIZE, _SIZE),
        "weights.fc.2.bias": (_SIZE,),
        "weights.fc.4.weight": (5, _SIZE),
        "weights.fc.4.bias": (5,),
    },
}
"""Models that transformers has no class for."""


def _make_reward_model(folder: Path, architecture: str, **overrides: Any) -> Path:
    from safetensors.torch import save_file

    model = _random("Qwen2Model" if architecture == REWARD_MODEL else "LlamaModel", **overrides)
    model.save_pretrained(folder)
    generator = torch.Generator().manual_seed(1)
    tensors = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for name, shape in _HEADS[architecture].items():
        tensors[name] = torch.randn(shape, generator=generator) * 0.3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = [architecture]
    if architecture == WEIGHTED_MODEL:
        config["num_labels"] = 10
    (folder / "config.json").write_text(json.dumps(config))
    return folder
