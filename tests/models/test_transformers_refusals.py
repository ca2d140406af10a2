"""What cannot run through transformers is refused, and the reason is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig, load_model_config
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.model_executor.transformers_check import check_transformers_model
from sglang.srt.models.llama import LlamaForCausalLM
from sglang.srt.models.load import choose_model_class, load_model, load_pooled_model
from sglang.srt.models.transformers_class import transformers_class
from sglang.srt.models.transformers_model import TransformersModel
from tests.models.family_helpers import Case, make_family
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint, random_tokens

CPU = torch.device("cpu")


def config_of(folder: Path, fields: dict[str, Any], **options: Any) -> ModelConfig:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 199, **fields}))
    return load_model_config(str(folder), **options)


def described(architecture: str, model_type: str, **fields: Any) -> dict[str, Any]:
    return {"architectures": [architecture], "model_type": model_type, **fields}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (described("MambaForCausalLM", "mamba"), "MambaForCausalLM keeps a state besides keys"),
        (described("JambaForCausalLM", "jamba"), "JambaForCausalLM keeps a state besides keys"),
        (described("GPTJForCausalLM", "gptj"), "does not use the attention interface"),
        (
            described("Lfm2ForCausalLM", "lfm2", num_hidden_layers=2, layer_types=["conv", "conv"]),
            "layers of kind conv",
        ),
        (
            described("MiniMaxForCausalLM", "minimax"),
            "layers of kind linear_attention",
        ),
        (
            described("BertLMHeadModel", "bert", is_decoder=True, add_cross_attention=True),
            "cross attention",
        ),
        (described("BertLMHeadModel", "bert"), "it is an encoder"),
        (
            described("T5ForConditionalGeneration", "t5"),
            "no causal language model T5ForConditionalGeneration",
        ),
        (
            described("Gemma3ForConditionalGeneration", "gemma3", vision_config={"depth": 2}),
            "images or sound",
        ),
        (
            described(
                "SeedOssForCausalLM",
                "seed_oss",
                rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
            ),
            "rope type dynamic",
        ),
        (described("SeedOssForCausalLM", "seed_oss", hidden_size="x"), "transformers refuses it"),
        (described("FooForCausalLM", "foo"), "no causal language model FooForCausalLM"),
    ],
)
def test_reason_is_named_before_weights_are_read(
    fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelLoadError, match=reason):
        transformers_class(config_of(tmp_path, fields))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("Nemotron", {"head_dim": ..., "hidden_size": 64}), "does not get the keyword"),
        (Case("DiffLlama", {"head_dim": ..., "hidden_size": 64}), "attends more than once"),
        (
            Case("Gemma3", {"use_bidirectional_attention": True}, config_class="Gemma3Text"),
            "is not causal",
        ),
        (Case("Moshi", {"sliding_window": 9}), "3 of its layers have a sliding window of 9"),
    ],
)
def test_reason_that_shows_when_the_module_runs(case: Case, reason: str, tmp_path: Path) -> None:
    make_family(tmp_path, case)
    with pytest.raises(ModelLoadError, match=f"cannot run through transformers: .*{reason}"):
        load_tiny(tmp_path, model_impl="transformers")


def test_unknown_to_both_says_so_of_both(tmp_path: Path) -> None:
    config = config_of(tmp_path, described("FooForCausalLM", "foo"))
    with pytest.raises(ModelLoadError, match=r"supported are .*LlamaForCausalLM.*; and transf"):
        choose_model_class(config)


@pytest.mark.parametrize(
    ("model_impl", "architecture", "expected"),
    [
        ("auto", "LlamaForCausalLM", LlamaForCausalLM),
        ("auto", "SeedOssForCausalLM", TransformersModel),
        ("sglang", "LlamaForCausalLM", LlamaForCausalLM),
        ("transformers", "LlamaForCausalLM", TransformersModel),
    ],
)
def test_whose_module_runs(
    model_impl: str, architecture: str, expected: type[Any], tmp_path: Path
) -> None:
    types = {"LlamaForCausalLM": "llama", "SeedOssForCausalLM": "seed_oss"}
    fields = described(architecture, types[architecture])
    assert choose_model_class(config_of(tmp_path, fields, model_impl=model_impl)) is expected


def test_sglang_alone_refuses_what_has_no_page(tmp_path: Path) -> None:
    fields = described("SeedOssForCausalLM", "seed_oss")
    with pytest.raises(ModelLoadError, match="unsupported architecture SeedOssForCausalLM"):
        choose_model_class(config_of(tmp_path, fields, model_impl="sglang"))


def test_embeddings_are_not_implemented(tmp_path: Path) -> None:
    make_tiny_checkpoint(tmp_path)
    config = load_model_config(str(tmp_path), is_embedding=True, model_impl="transformers")
    with pytest.raises(ModelLoadError, match="embeddings and scores"):
        load_pooled_model(config, device=CPU, kernels=ReferenceKernels())


# ------------------------------------------------------------------ a checkpoint's own code

OWN_CODE = """
import pathlib
from transformers import LlamaConfig, LlamaForCausalLM
pathlib.Path({marker!r}).touch()

class MyConfig(LlamaConfig):
    model_type = "mine"

class MyForCausalLM(LlamaForCausalLM):
    config_class = MyConfig
"""
WITH_A_MEMORY = """
    def __init__(self, config):
        super().__init__(config)
        embed = self.model.embed_tokens
        embed.register_forward_hook(lambda module, ids, out: out + out.roll(1, 1).tril())
"""


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    path = list(sys.path)
    folder = make_tiny_checkpoint(tmp_path / "model")
    (folder / "mine.py").write_text(OWN_CODE.format(marker=str(tmp_path / "was_run")))
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyForCausalLM"}
    config |= {"architectures": ["MyForCausalLM"], "model_type": "mine", "auto_map": names}
    (folder / "config.json").write_text(json.dumps(config))
    yield folder
    sys.path[:] = path


def test_code_of_a_checkpoint_is_not_run_unasked(own_code: Path) -> None:
    with pytest.raises(ModelLoadError, match="unsupported architecture MyForCausalLM"):
        load_tiny(own_code)
    assert not (own_code.parent / "was_run").exists()


def test_code_of_a_trusted_checkpoint_runs_it(own_code: Path) -> None:
    model = load_tiny(own_code, trust_remote_code=True)
    assert (own_code.parent / "was_run").exists()
    config = json.loads((own_code / "config.json").read_text())
    config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    (own_code / "config.json").write_text(json.dumps(config))
    prompt = random_tokens(20, 199)
    found, expected = (
        HandDriver(each).step({"p": prompt})["p"] for each in (model, load_tiny(own_code))
    )
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_a_memory_that_nothing_tells_of_is_found(own_code: Path) -> None:
    path = own_code / "mine.py"
    path.write_text(path.read_text() + WITH_A_MEMORY)
    config = load_model_config(
        str(own_code), dtype="float32", model_impl="transformers", trust_remote_code=True
    )
    model = load_model(config, device=CPU, kernels=ReferenceKernels())
    assert isinstance(model, TransformersModel)
    with pytest.raises(ModelLoadError, match="read in pieces, its hidden states differ by"):
        check_transformers_model(model, config, CPU)
