"""What ``config.json`` and ``generation_config.json`` say, and the messages when they are wrong."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config

BASE = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 100,
    "max_position_embeddings": 4096,
    "eos_token_id": 2,
    "dtype": "float32",
}


def write(folder: Path, generation: dict[str, Any] | None = None, **fields: Any) -> str:
    config = {**BASE, **fields}
    config = {key: value for key, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return str(folder)


@pytest.mark.parametrize(
    "module", ["configs.model_config", "model_loader.hub", "models.registry", "models.external"]
)
def test_what_the_api_process_uses_imports_neither_torch_nor_transformers(module: str) -> None:
    code = (
        f"import sys; import sglang.srt.{module};"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("stored", "requested", "device", "expected"),
    [
        ({"dtype": "float32"}, "auto", "cpu", "float32"),
        ({"dtype": "bfloat16"}, "auto", "cpu", "bfloat16"),
        ({"dtype": ..., "torch_dtype": "bfloat16"}, "auto", "cpu", "bfloat16"),
        ({"dtype": "torch.bfloat16"}, "auto", "cpu", "bfloat16"),
        ({"dtype": "float16"}, "auto", "cpu", "bfloat16"),
        ({"dtype": "float16"}, "auto", "cuda", "float16"),
        ({"dtype": "float64"}, "auto", "cpu", "float32"),
        ({"dtype": ...}, "auto", "cpu", "bfloat16"),
        ({"dtype": ..., "text_config": {**BASE, "dtype": "float32"}}, "auto", "cpu", "float32"),
        ({"dtype": "bfloat16"}, "float", "cpu", "float32"),
        ({"dtype": "bfloat16"}, "half", "cpu", "float16"),
    ],
)
def test_dtype(
    tmp_path: Path, stored: dict[str, Any], requested: str, device: str, expected: str
) -> None:
    config = load_model_config(write(tmp_path, **stored), dtype=requested, device=device)
    assert config.dtype == expected


def test_unknown_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"dtype must be .*'int8'"):
        load_model_config(write(tmp_path), dtype="int8")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 4096),
        ({"max_position_embeddings": ...}, 2048),
        ({"max_position_embeddings": ..., "n_positions": 512}, 512),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
        ({"rope_scaling": {"type": "dynamic", "factor": 1.5}}, 6144),
        ({"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 1e4}}, 16384),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0}}, 16384),
        (
            {
                "rope_scaling": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 1024,
                }
            },
            4096,
        ),
        (
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "original_max_position_embeddings": 512,
                }
            },
            4096,
        ),
        ({"text_config": {**BASE, "max_position_embeddings": 77}}, 77),
    ],
)
def test_derived_context_length(tmp_path: Path, fields: dict[str, Any], expected: int) -> None:
    assert load_model_config(write(tmp_path, **fields)).context_length == expected


def test_shorter_context_length_is_taken(tmp_path: Path) -> None:
    assert load_model_config(write(tmp_path), context_length=100).context_length == 100


def test_longer_context_length_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        config = load_model_config(write(tmp_path), context_length=5000)
    assert config.context_length == 5000
    assert "5000" in caplog.text and "4096" in caplog.text


@pytest.mark.parametrize("length", [0, -1, True, 1 << 40])
def test_senseless_context_length_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(ValueError, match="context_length"):
        load_model_config(write(tmp_path), context_length=length)


@pytest.mark.parametrize(
    ("config_eos", "generation", "expected"),
    [
        (2, None, (2,)),
        ([3, 4], None, (3, 4)),
        (None, None, ()),
        (2, {"eos_token_id": [2, 7, 9]}, (2, 7, 9)),
        (None, {"eos_token_id": 5}, (5,)),
    ],
)
def test_eos_tokens_of_both_files(
    tmp_path: Path, config_eos: Any, generation: dict[str, Any] | None, expected: tuple[int, ...]
) -> None:
    path = write(tmp_path, generation, eos_token_id=config_eos)
    assert load_model_config(path).eos_token_ids == expected


@pytest.mark.parametrize("eos", ["</s>", -1, True, [1, "x"]])
def test_senseless_eos_token_is_refused(tmp_path: Path, eos: Any) -> None:
    with pytest.raises(ModelLoadError, match="eos_token_id"):
        load_model_config(write(tmp_path, eos_token_id=eos))


def test_generation_defaults(tmp_path: Path) -> None:
    generation = {
        "do_sample": True,
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.1,
        "repetition_penalty": 1.05,
        "max_length": 4096,
    }
    assert load_model_config(write(tmp_path, generation)).generation_defaults == {
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.1,
        "repetition_penalty": 1.05,
    }


def test_generation_defaults_of_a_greedy_checkpoint_are_not_taken(tmp_path: Path) -> None:
    path = write(tmp_path, {"do_sample": False, "temperature": 0.6})
    assert load_model_config(path).generation_defaults == {}


def test_top_k_zero_means_off(tmp_path: Path) -> None:
    assert load_model_config(write(tmp_path, {"top_k": 0})).generation_defaults == {"top_k": -1}


@pytest.mark.parametrize("value", ["hot", -1.0, float("nan"), True, 0.0])
def test_senseless_generation_default_is_ignored_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    config = load_model_config(write(tmp_path, {"top_p": value}))
    assert config.generation_defaults == {}
    assert "top_p" in caplog.text


def test_overrides_are_merged(tmp_path: Path) -> None:
    config = load_model_config(
        write(tmp_path), json_model_override_args='{"vocab_size": 7, "num_hidden_layers": 1}'
    )
    assert config.vocab_size == 7
    assert config.hf_config["num_hidden_layers"] == 1
    assert config.hf_config["max_position_embeddings"] == 4096


@pytest.mark.parametrize("text", ["{", "[1]", "null", "3", '"a"'])
def test_overrides_that_are_no_object_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="json_model_override_args"):
        load_model_config(write(tmp_path), json_model_override_args=text)


def test_missing_config_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"config\.json does not exist"):
        load_model_config(str(tmp_path))


@pytest.mark.parametrize("content", [b"{broken", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_broken_config_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        load_model_config(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": ...}, "lacks 'vocab_size'"),
        ({"vocab_size": "many"}, "'vocab_size' must be a positive integer, got 'many'"),
        ({"vocab_size": 0}, "'vocab_size'"),
        ({"max_position_embeddings": -5}, "'max_position_embeddings'"),
        ({"architectures": ...}, "'architectures'"),
        ({"architectures": []}, "'architectures'"),
        ({"rope_scaling": {"type": "linear", "factor": float("inf")}}, "'factor'"),
        ({"rope_scaling": [1]}, "'rope_scaling' must be an object"),
    ],
)
def test_senseless_field_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load_model_config(write(tmp_path, **fields))


@pytest.mark.parametrize(
    ("architecture", "is_embedding", "expected"),
    [
        ("LlamaForCausalLM", False, True),
        ("GPT2LMHeadModel", False, True),
        ("ChatGLMModel", False, True),
        ("LlamaForCausalLM", True, False),
        ("LlamaForSequenceClassification", False, False),
        ("MistralModel", False, False),
    ],
)
def test_is_generation(
    tmp_path: Path, architecture: str, is_embedding: bool, expected: bool
) -> None:
    path = write(tmp_path, architectures=[architecture])
    assert load_model_config(path, is_embedding=is_embedding).is_generation is expected
