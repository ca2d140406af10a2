"""What a checkpoint's files say about models that generate no text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.configs.pooling_config import PoolingConfig

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {
        "idx": 2,
        "name": "2",
        "path": "2_Normalize",
        "type": "sentence_transformers.models.Normalize",
    },
]


def write(
    folder: Path,
    architecture: str = "Qwen2Model",
    *,
    modules: Any = None,
    pooling: Any = None,
    **config: Any,
) -> Path:
    config = {"architectures": [architecture], "vocab_size": 9, "hidden_size": 4, **config}
    (folder / "config.json").write_text(json.dumps(config))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def pooling_of(folder: Path, **options: Any) -> PoolingConfig | None:
    return load_model_config(str(folder), **options).pooling


def test_a_decoder_pools_its_last_token(tmp_path: Path) -> None:
    assert pooling_of(write(tmp_path)) == PoolingConfig("last")


def test_an_encoder_pools_all_tokens(tmp_path: Path) -> None:
    expected = PoolingConfig("mean", is_bidirectional=True)
    assert pooling_of(write(tmp_path, "BertModel")) == expected


def test_a_model_of_text_has_no_pooling_unless_it_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, "Qwen2ForCausalLM")
    assert pooling_of(folder) is None
    assert pooling_of(folder, is_embedding=True) == PoolingConfig("last")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True, "word_embedding_dimension": 4}, "cls"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_pooling_is_read_as_sentence_transformers_writes_it(
    tmp_path: Path, config: dict[str, Any], expected: Any
) -> None:
    folder = write(tmp_path, "Qwen2ForCausalLM", modules=MODULES, pooling=config)
    assert pooling_of(folder, is_embedding=True) == PoolingConfig(expected)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode": "weightedmean"},
    ],
)
def test_other_poolings_are_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = write(tmp_path, modules=MODULES, pooling=config)
    with pytest.raises(ModelLoadError, match=r"1_Pooling.*is not implemented; one of last, mean"):
        pooling_of(folder)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "must list the modules"),
        ([1], "must list the modules"),
        ([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}], "'Dense'"),
        ([{"type": "sentence_transformers.models.Pooling", "path": "../x"}], "no folder"),
        ([{"type": "sentence_transformers.models.Pooling", "path": ".."}], "no folder"),
        ([{"type": "sentence_transformers.models.Pooling"}], "no folder"),
        (MODULES, "does not exist"),
    ],
)
def test_senseless_modules_are_named(tmp_path: Path, modules: Any, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        pooling_of(write(tmp_path, modules=modules))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id2label": {"0": "LABEL_0"}}, 1),
        ({"id2label": {"0": "no", "1": "yes", "2": "maybe"}}, 3),
        ({"num_labels": 5}, 5),
        ({}, 2),
    ],
)
def test_the_number_of_scores_is_that_of_the_labels(
    tmp_path: Path, fields: dict[str, Any], expected: int
) -> None:
    found = pooling_of(write(tmp_path, "LlamaForSequenceClassification", **fields))
    assert found == PoolingConfig(num_scores=expected)


@pytest.mark.parametrize("count", [0, -1, True, "2"])
def test_a_senseless_number_of_labels_is_refused(tmp_path: Path, count: Any) -> None:
    with pytest.raises(ModelLoadError, match="'num_labels'"):
        pooling_of(write(tmp_path, "LlamaForSequenceClassification", num_labels=count))


def test_a_reward_model_has_one_score(tmp_path: Path) -> None:
    assert pooling_of(write(tmp_path, "Qwen2ForRewardModel")) == PoolingConfig(num_scores=1)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, True),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, False),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, False),
    ],
)
def test_the_activation_of_a_cross_encoder(
    tmp_path: Path, fields: dict[str, Any], expected: bool
) -> None:
    found = pooling_of(write(tmp_path, "Qwen2ForSequenceClassification", num_labels=1, **fields))
    assert found is not None and found.has_sigmoid is expected
