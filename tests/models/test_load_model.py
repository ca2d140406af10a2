"""``load_model``: the one entry to a model, and what it says when a checkpoint does not fit."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.models.load import load_model
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_checkpoint(tmp_path)


def edit_config(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_weights(folder: Path, **tensors: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    state = {**load_file(path), **tensors}
    save_file({name: value for name, value in state.items() if value is not None}, path)


def test_attributes_for_the_kv_pool(folder: Path) -> None:
    model = load_tiny(folder)
    sizes = (model.num_layers, model.num_kv_heads, model.head_dim, model.vocab_size)
    assert sizes == (3, 2, 16, 199)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_logits_are_float32_in_every_dtype(folder: Path, dtype: str) -> None:
    driver = HandDriver(load_tiny(folder, dtype=dtype), dtype=getattr(torch, dtype))
    logits = driver.step({"p": [1, 2, 3]})["p"]
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_time_and_bandwidth_are_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_tiny(folder)
    assert re.search(r"loaded LlamaForCausalLM as float32: .* GB in .* s \(.* GB/s\)", caplog.text)


def test_missing_tensor_is_named(folder: Path) -> None:
    edit_weights(folder, **{"model.layers.1.mlp.up_proj.weight": None})
    with pytest.raises(ModelLoadError, match=r"missing tensor model\.layers\.1\.mlp\.up_proj"):
        load_tiny(folder)


def test_missing_head_of_an_untied_model_is_named(folder: Path) -> None:
    edit_weights(folder, **{"lm_head.weight": None})
    with pytest.raises(ModelLoadError, match=r"missing tensor lm_head\.weight"):
        load_tiny(folder)


def test_missing_embedding_of_a_tied_model_is_named(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path, tie_word_embeddings=True)
    edit_weights(folder, **{"model.embed_tokens.weight": None})
    with pytest.raises(ModelLoadError, match=r"missing tensor model\.embed_tokens\.weight"):
        load_tiny(folder)


def test_tied_model_may_hold_the_head_only(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path, tie_word_embeddings=True)
    expected = HandDriver(load_tiny(folder)).step({"p": [5, 6]})["p"]
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    edit_weights(folder, **{"model.embed_tokens.weight": None, "lm_head.weight": table})
    assert torch.equal(HandDriver(load_tiny(folder)).step({"p": [5, 6]})["p"], expected)


def test_wrong_shape_is_named_with_its_file(folder: Path) -> None:
    edit_config(folder, intermediate_size=80)
    message = (
        r"gate_proj\.weight has shape \[88, 48\], expected \[80, 48\], in .*model\.safetensors"
    )
    with pytest.raises(ModelLoadError, match=message):
        load_tiny(folder)


def test_extra_tensors_are_warned_about_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    edit_weights(folder, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)})
    edit_config(folder, num_hidden_layers=2)
    load_tiny(folder)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("9 tensors of the checkpoint are not used: model.layers.2.")


def test_unsupported_architecture(folder: Path) -> None:
    edit_config(folder, architectures=["GPT7LMHeadModel"])
    with pytest.raises(ModelLoadError, match=r"GPT7LMHeadModel; supported are .*LlamaForCausalLM"):
        load_tiny(folder)


def test_unknown_kind_of_quantized_checkpoint_is_refused(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "hqq"})
    with pytest.raises(ModelLoadError, match=r"quantized checkpoints \(hqq\) are not implemented"):
        load_tiny(folder)


def test_tensor_parallelism_is_refused(folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="not implemented yet"):
        load_model(
            load_model_config(str(folder)),
            device=torch.device("cpu"),
            kernels=ReferenceKernels(),
            tp_size=2,
        )


def test_nested_text_config(folder: Path) -> None:
    expected = HandDriver(load_tiny(folder)).step({"p": [5, 6]})["p"]
    path = folder / "config.json"
    text = json.loads(path.read_text())
    path.write_text(json.dumps({"architectures": text.pop("architectures"), "text_config": text}))
    assert torch.equal(HandDriver(load_tiny(folder)).step({"p": [5, 6]})["p"], expected)


@pytest.mark.parametrize("tied", [False, True])
def test_dummy_weights_need_the_configuration_only(
    folder: Path, tied: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "model.safetensors").unlink()
    edit_config(folder, tie_word_embeddings=tied)
    config = load_model_config(
        str(folder),
        json_model_override_args='{"num_hidden_layers": 1, "num_key_value_heads": 1}',
    )
    model = load_model(
        config, device=torch.device("cpu"), kernels=ReferenceKernels(), load_format="dummy"
    )
    assert (model.num_layers, model.num_kv_heads) == (1, 1)
    assert HandDriver(model).step({"p": [1, 2, 3]})["p"].std() > 0.1
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
