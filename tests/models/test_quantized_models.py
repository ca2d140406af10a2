"""Quantized models: the answer of a request alone, and close to that of the exact weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from sglang.demo_model import demo_model_path
from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.configs.stored_quantization import STORED_METHODS
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.layers.quantization import QUANTIZATIONS, quantization_named
from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.models.load import load_model
from sglang.srt.models.registry import ModelRegistry
from sglang.srt.server_args import ServerArgs, ServerArgsError
from sglang.srt.server_args.args import OPTIONS
from tests.models.equality import c_kernels
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint, random_tokens

NAMES = ["int8dq", "int8wo", "int4wo-32", "int4wo-128"]
DEMO_TEXT = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\nThe capital of France is Paris.<|im_end|>\n"
)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"), request.param)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_any_batch_gives_the_same_bits(checkpoint: Path, name: str, dtype: str) -> None:
    precision: torch.dtype = getattr(torch, dtype)
    model = load_tiny(checkpoint, dtype=dtype, kernels=c_kernels(precision), quantization=name)
    prompt = random_tokens(50, 199)
    whole = HandDriver(model, dtype=precision).step({"p": prompt})["p"]

    driver = HandDriver(model, dtype=precision, seed=1)
    parts = [driver.step({"p": prompt[:13], "q": prompt[:30]})["p"]]
    parts.append(driver.step({"q": prompt[30:], "p": prompt[13:14]})["p"])
    parts.append(driver.step({"r": prompt, "p": prompt[14:]})["p"])
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_c_kernels_agree_with_the_reference(checkpoint: Path, name: str) -> None:
    prompt = random_tokens(40, 199)
    found, expected = (
        HandDriver(load_tiny(checkpoint, kernels=kernels, quantization=name)).step({"p": prompt})
        for kernels in (c_kernels(torch.float32), None)
    )
    # Where a sum differs in its last bit an activation may be rounded to the next integer.
    difference = (found["p"] - expected["p"]).norm() / expected["p"].norm()
    assert difference < (1e-4 if name == "int8wo" else 0.02)


@pytest.fixture(scope="module")
def demo() -> tuple[list[int], torch.Tensor]:
    """A question with the demo model's answer, and its exact log-probabilities at every token."""
    tokenizer = Tokenizer.from_file(str(Path(demo_model_path()) / "tokenizer.json"))
    tokens = tokenizer.encode(DEMO_TEXT, add_special_tokens=False).ids
    return tokens, log_probabilities(tokens, None)


def log_probabilities(tokens: list[int], name: str | None) -> torch.Tensor:
    model = load_tiny(Path(demo_model_path()), kernels=c_kernels(torch.float32), quantization=name)
    return HandDriver(model).step({"p": tokens})["p"].log_softmax(-1)


@pytest.mark.parametrize(
    ("name", "largest"),
    [("int8wo", 0.01), ("int8dq", 0.01), ("int4wo-32", 0.3), ("int4wo-256", 0.5)],
)
def test_a_trained_model_changes_little(
    demo: tuple[list[int], torch.Tensor], name: str, largest: float
) -> None:
    tokens, exact = demo
    found = log_probabilities(tokens, name)
    divergence = (exact.exp() * (exact - found)).sum(-1).mean()
    assert 0 < divergence < largest


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_forward_gives_the_same_tokens(checkpoint: Path, name: str, dtype: str) -> None:
    def tokens(**options: Any) -> list[list[int]]:
        args = ServerArgs(
            model_path=str(checkpoint), dtype=dtype, device="cpu", torchao_config=name, **options
        )
        engine = build_engine(args, str(checkpoint))
        recorded = engine.runner._forward.replay is not None
        assert recorded is not options.get("disable_cpu_plan", False)
        driver = HandDriver(engine.runner.model, dtype=getattr(torch, dtype))
        return [driver.greedy(str(i), random_tokens(9 + i, 199, seed=i), 8) for i in range(3)]

    c_kernels(torch.float32)
    assert tokens() == tokens(disable_cpu_plan=True)


def test_the_embedding_table_stays_as_it_is(tmp_path: Path) -> None:
    folder = make_tiny_checkpoint(tmp_path, tie_word_embeddings=True)
    tokens = torch.arange(199)
    tables = [
        load_tiny(folder, quantization=name)._embedding(tokens)  # type: ignore[attr-defined]
        for name in (None, "int4wo-32")
    ]
    assert torch.equal(*tables)


def test_the_options_offer_what_there_is() -> None:
    options = {option.name: option.facts.choices for option in OPTIONS}
    assert {*options["quantization"], *options["torchao_config"]} == {
        *QUANTIZATIONS,
        *STORED_METHODS,
    }


@pytest.mark.parametrize("option", [{"quantization": "w8a8_int8"}, {"torchao_config": "int4wo-64"}])
def test_either_option_reaches_the_engine(checkpoint: Path, option: dict[str, str]) -> None:
    args = ServerArgs(model_path=str(checkpoint), device="cpu", **option)
    assert build_engine(args, str(checkpoint)).info["quantization"] in option.values()


def test_both_options_at_once_are_refused() -> None:
    with pytest.raises(ServerArgsError, match="cannot be combined with quantization"):
        ServerArgs(quantization="w8a8_int8", torchao_config="int8wo")


@pytest.mark.parametrize("value", ["int4wo-16", "int8", "fp8wo"])
def test_what_there_is_not_is_refused_with_a_list(value: str) -> None:
    with pytest.raises(ServerArgsError, match="int8dq, int8wo, int4wo-32"):
        ServerArgs(torchao_config=value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="known: w8a8_int8"):
        quantization_named("int2")


def test_a_class_that_does_not_quantize_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        @classmethod
        def from_checkpoint(cls, *_: object) -> Plain:
            raise AssertionError("must not be reached")

    monkeypatch.setitem(ModelRegistry.models, "LlamaForCausalLM", Plain)
    monkeypatch.setitem(ModelRegistry.models, "Qwen2ForCausalLM", Plain)
    with pytest.raises(ModelLoadError, match="Plain cannot be quantized"):
        load_tiny(checkpoint, quantization="int8dq")


def test_other_devices_are_refused(checkpoint: Path) -> None:
    config = load_model_config(str(checkpoint), quantization="int8dq")
    with pytest.raises(ModelLoadError, match="on cpu and cuda only so far, not on meta"):
        load_model(config, device=torch.device("meta"), kernels=ReferenceKernels())
