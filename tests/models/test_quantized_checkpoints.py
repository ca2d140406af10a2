"""Quantized checkpoints run: the answers are those of the matrices that they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels import select_kernels
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.models.load import load_model
from tests.model_loader import quantized_writers as formats
from tests.models.family_helpers import Case, make_family
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint, random_tokens

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
PROMPT = random_tokens(12, 199)

FORMATS = {
    "awq": formats.awq(32),
    "gptq": formats.gptq(4, 32),
    "gptq asymmetric": formats.gptq(4, 32, symmetric=False),
    "gptq act order": formats.gptq(4, 32, ordered=False),
    "fp8": formats.fp8("block", (32, 32)),
    "bitsandbytes": formats.bitsandbytes4(32, nested=True),
    "bitsandbytes 8 bits": formats.bitsandbytes8(),
    "compressed-tensors": formats.compressed("pack-quantized", 4, "group", 32),
    "compressed-tensors asymmetric": formats.compressed(
        "pack-quantized", 4, "group", 32, symmetric=False
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("plain"), **SIZES)


def quantize(plain: Path, folder: Path, name: str) -> tuple[Path, Path]:
    """The checkpoint quantized, and one of the matrices that this stands for."""
    settings, writer = FORMATS[name]
    quantized: dict[str, torch.Tensor] = {}
    wide: dict[str, torch.Tensor] = {}
    for key, tensor in load_file(plain / "model.safetensors").items():
        if not key.endswith("_proj.weight"):
            quantized[key] = wide[key] = tensor
            continue
        written = writer(tensor)
        wide[key] = written.matrix.contiguous()
        module = key.removesuffix("weight")
        quantized |= {module + part: value for part, value in written.tensors.items()}
    config = json.loads((plain / "config.json").read_text())
    kinds: tuple[tuple[str, dict[str, torch.Tensor], dict[str, Any]], ...] = (
        ("quantized", quantized, {"quantization_config": settings}),
        ("wide", wide, {}),
    )
    for kind, tensors, entries in kinds:
        (folder / kind).mkdir()
        save_file(tensors, folder / kind / "model.safetensors")
        (folder / kind / "config.json").write_text(json.dumps({**config, **entries}))
    return folder / "quantized", folder / "wide"


@pytest.mark.parametrize("name", FORMATS)
def test_in_float32_the_answer_is_that_of_the_wide_matrices(
    plain: Path, tmp_path: Path, name: str
) -> None:
    found, expected = (
        HandDriver(load_tiny(folder)).step({"p": PROMPT})["p"]
        for folder in quantize(plain, tmp_path, name)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_in_bfloat16_the_answer_is_close(plain: Path, tmp_path: Path, name: str) -> None:
    quantized, wide = quantize(plain, tmp_path, name)
    model = load_tiny(quantized, dtype="bfloat16")
    found = HandDriver(model, dtype=torch.bfloat16).step({"p": PROMPT})["p"]
    expected = HandDriver(load_tiny(wide)).step({"p": PROMPT})["p"]
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_a_mixture_of_experts_with_zero_points(tmp_path: Path) -> None:
    # All experts have a say, so that rounding does not change which.
    sizes = {"hidden_size": 64, "moe_intermediate_size": 32, "head_dim": 16}
    case = Case("Qwen3Moe", {**sizes, "num_experts": 4, "num_experts_per_tok": 4})
    make_family(tmp_path, case)
    quantized, wide = quantize(tmp_path, tmp_path, "awq")
    expected = HandDriver(load_tiny(wide)).step({"p": PROMPT})["p"]
    kernels = select_kernels("cpu", torch.bfloat16)
    for each in (ReferenceKernels(), kernels):
        model = load_tiny(quantized, dtype="bfloat16", kernels=each)
        found = HandDriver(model, dtype=torch.bfloat16).step({"p": PROMPT})["p"]
        assert (found - expected).norm() < 0.05 * expected.norm()


def test_a_quantized_checkpoint_can_be_quantized_anew(plain: Path, tmp_path: Path) -> None:
    quantized, wide = quantize(plain, tmp_path, "awq")
    found, expected = (
        HandDriver(load_tiny(folder, quantization="int8dq")).step({"p": PROMPT})["p"]
        for folder in (quantized, wide)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("asked", ["gptq", "gptq_marlin"])
def test_an_option_may_say_what_the_checkpoint_says(
    plain: Path, tmp_path: Path, asked: str
) -> None:
    quantized, _ = quantize(plain, tmp_path, "gptq")
    assert load_model_config(str(quantized), quantization=asked).quantization is None


def test_an_option_that_contradicts_the_checkpoint_is_refused(plain: Path, tmp_path: Path) -> None:
    quantized, _ = quantize(plain, tmp_path, "gptq")
    with pytest.raises(ValueError, match="'awq', but the checkpoint's own is 'gptq'"):
        load_model_config(str(quantized), quantization="awq")


@pytest.mark.parametrize("asked", ["fp8", "awq", "bitsandbytes"])
def test_an_option_for_a_plain_checkpoint_is_refused(plain: Path, asked: str) -> None:
    with pytest.raises(ValueError, match=f"'{asked}', but the checkpoint is not quantized"):
        load_model_config(str(plain), quantization=asked)


def test_the_settings_of_old_tools_have_a_file_of_their_own(plain: Path, tmp_path: Path) -> None:
    quantized, _ = quantize(plain, tmp_path, "gptq")
    config = json.loads((quantized / "config.json").read_text())
    settings = config.pop("quantization_config")
    del settings["quant_method"]
    (quantized / "config.json").write_text(json.dumps(config))
    (quantized / "quantize_config.json").write_text(json.dumps(settings))
    assert load_tiny(quantized).num_layers == 2


def test_load_format_bitsandbytes_wants_such_a_checkpoint(plain: Path, tmp_path: Path) -> None:
    quantized, _ = quantize(plain, tmp_path, "gptq")
    with pytest.raises(ModelLoadError, match=r"load format 'bitsandbytes'.*quantized by gptq"):
        load_with_format(quantized, "bitsandbytes")


def load_with_format(folder: Path, load_format: str) -> None:
    load_model(
        load_model_config(str(folder), dtype="float32"),
        device=torch.device("cpu"),
        kernels=ReferenceKernels(),
        load_format=load_format,
        show_progress=False,
    )
