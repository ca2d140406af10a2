"""The registry of architectures, with external classes as the documentation registers them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.models.llama import LlamaForCausalLM
from sglang.srt.models.registry import ModelRegistry
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint


@pytest.fixture(autouse=True)
def restored_registry() -> Iterator[None]:
    yield
    for name in ModelRegistry.models.external():
        del ModelRegistry.models[name]


def test_built_in_architectures_are_listed() -> None:
    supported = ModelRegistry.supported()
    assert supported == sorted(supported)
    families = {"Llama", "Mistral", "Qwen2", "Qwen3"}
    for kind in ("ForCausalLM", "Model", "ForSequenceClassification"):
        assert {f"{family}{kind}" for family in families} <= set(supported)


def test_built_in_architecture_resolves_to_its_class() -> None:
    assert ModelRegistry.resolve(["LlamaForCausalLM"]) is LlamaForCausalLM


def test_unsupported_architecture_lists_the_supported_ones() -> None:
    with pytest.raises(ModelLoadError, match=r"FooForCausalLM.*LlamaForCausalLM.*Qwen3ForCausalLM"):
        ModelRegistry.resolve(["FooForCausalLM"])


@pytest.mark.parametrize(
    ("architecture", "decoder", "head"),
    [
        ("MistralModel", "MistralForCausalLM", "none"),
        ("Qwen2ForRewardModel", "Qwen2ForCausalLM", "mlp"),
        ("InternLM2ForRewardModel", "InternLM2ForCausalLM", "value"),
        ("Qwen3ForCausalLM", "Qwen3ForCausalLM", "none"),
    ],
)
def test_a_model_that_generates_nothing_is_a_decoder_with_a_head(
    architecture: str, decoder: str, head: str
) -> None:
    found, found_head = ModelRegistry.resolve_pooled([architecture])
    assert (found.__name__, found_head) == (decoder, head)


@pytest.mark.parametrize(
    "architecture",
    ["DbrxForSequenceClassification", "Phi3ForRewardModel", "ModernBertModel"],
)
def test_a_head_of_an_unknown_family_is_refused(architecture: str) -> None:
    with pytest.raises(ModelLoadError, match=f"unsupported architecture {architecture}"):
        ModelRegistry.resolve_pooled([architecture])


def test_a_model_that_generates_nothing_is_no_model_of_text() -> None:
    with pytest.raises(ModelLoadError, match="LlamaModel generates no text"):
        ModelRegistry.resolve(["LlamaModel"])


def test_first_supported_architecture_wins() -> None:
    assert ModelRegistry.check(["FooForCausalLM", "Qwen2ForCausalLM"]) == "Qwen2ForCausalLM"


def test_looking_names_up_does_not_import_torch() -> None:
    code = (
        "import sys; from sglang.srt.models.registry import ModelRegistry;"
        "ModelRegistry.check(['LlamaForCausalLM']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class HalvedLlama(LlamaForCausalLM):
    """An external model: logits are half of Llama's."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return super().logits(hidden) / 2


def test_external_class_is_served_under_its_name(tmp_path: Path) -> None:
    ModelRegistry.models["HalvedLlamaForCausalLM"] = HalvedLlama
    folder = make_tiny_checkpoint(tmp_path)
    expected = HandDriver(load_tiny(folder)).step({"p": [1, 2, 3]})["p"] / 2
    config = folder / "config.json"
    text = config.read_text()
    config.write_text(text.replace("LlamaForCausalLM", "HalvedLlamaForCausalLM"))
    torch.testing.assert_close(HandDriver(load_tiny(folder)).step({"p": [1, 2, 3]})["p"], expected)


def test_external_class_may_replace_a_built_in_one(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path)
    ModelRegistry.models.update({"LlamaForCausalLM": HalvedLlama})
    assert isinstance(load_tiny(folder), HalvedLlama)


def test_class_without_constructor_is_refused() -> None:
    with pytest.raises(TypeError, match="from_checkpoint"):
        ModelRegistry.models["X"] = dict


def test_removing_a_replacement_uncovers_the_built_in_class() -> None:
    ModelRegistry.models["LlamaForCausalLM"] = HalvedLlama
    del ModelRegistry.models["LlamaForCausalLM"]
    assert ModelRegistry.resolve(["LlamaForCausalLM"]) is LlamaForCausalLM
