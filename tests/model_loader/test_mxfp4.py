"""Experts stored in MXFP4 are read as the numbers that the format describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.model_loader.formats.mxfp4 import unpack
from tests.models.equality import c_kernels
from tests.models.family_helpers import make_family
from tests.models.model_helpers import HandDriver, load_tiny, random_tokens
from tests.models.variant_cases import VARIANT_CASES


def value_of(code: int) -> float:
    """Sign, two bits of exponent with bias 1, one bit of fraction; exponent 0: no leading one."""
    sign, exponent, fraction = -1 if code & 8 else 1, code >> 1 & 3, code & 1
    return sign * (fraction / 2 if exponent == 0 else 2 ** (exponent - 1) * (1 + fraction / 2))


def test_every_element_and_scale() -> None:
    codes = torch.arange(32) % 16
    blocks = (codes[0::2] | codes[1::2] << 4).to(torch.uint8).view(1, 1, 16)
    for scale in (100, 126, 127, 128, 140):
        found = unpack(blocks, torch.full((1, 1), scale, dtype=torch.uint8)).dequantize()
        expected = [value_of(code) * 2.0 ** (scale - 127) for code in codes.tolist()]
        assert found.flatten().tolist() == expected


def rewrite(folder: Path) -> None:
    """Turn the experts of a plain checkpoint into random ones of MXFP4, and back in a twin."""
    generator = torch.Generator().manual_seed(0)
    state, plain = load_file(folder / "model.safetensors"), folder / "plain"
    plain.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps(config))
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": []}
    (folder / "config.json").write_text(json.dumps(config))
    stored = dict(state)
    for name, weight in state.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            count, inputs, outputs = weight.shape
            shape = (count, outputs, inputs // 32, 16)
            blocks = torch.randint(256, shape, generator=generator).to(torch.uint8)
            scales = torch.randint(121, 125, shape[:-1], generator=generator).to(torch.uint8)
            del stored[name]
            stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            pairs = zip(blocks, scales, strict=True)
            state[name] = torch.stack([unpack(*pair).dequantize().t() for pair in pairs])
    save_file(stored, folder / "model.safetensors")
    save_file(state, plain / "model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mxfp4")
    case = VARIANT_CASES["gpt-oss"]
    sizes = {"hidden_size": 64, "intermediate_size": 96}
    make_family(folder, type(case)(case.oracle, {**case.config, **sizes}))
    rewrite(folder)
    return folder


def test_a_model_equals_its_plain_twin(folder: Path) -> None:
    prompt = random_tokens(30, 199)
    found = HandDriver(load_tiny(folder)).step({"p": prompt})["p"]
    assert torch.equal(found, HandDriver(load_tiny(folder / "plain")).step({"p": prompt})["p"])


def test_products_with_the_stored_elements_are_close_to_the_twin(folder: Path) -> None:
    """In bfloat16 experts stay as they are and activations are rounded to 8 bits."""
    kernels, prompt = c_kernels(torch.bfloat16), random_tokens(30, 199)
    scores = []
    for place in (folder, folder / "plain"):
        model = load_tiny(place, dtype="bfloat16", kernels=kernels)
        scores.append(HandDriver(model, dtype=torch.bfloat16).step({"p": prompt})["p"])
    found, expected = scores
    assert 0 < (found - expected).norm() / expected.norm() < 0.1


def test_what_is_stored_can_be_quantized_otherwise(folder: Path) -> None:
    prompt = random_tokens(30, 199)
    exact = HandDriver(load_tiny(folder)).step({"p": prompt})["p"]
    model = load_tiny(folder, kernels=c_kernels(), quantization="int8wo")
    found = HandDriver(model).step({"p": prompt})["p"]
    assert 0 < (found - exact).norm() / exact.norm() < 0.1


def test_a_scale_tensor_of_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith("down_proj_scales"))
    state[name] = state[name][:, :-1].contiguous()
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadError, match="down_proj_blocks and _scales have shapes"):
        load_tiny(tmp_path)
