"""Quantized checkpoints: what is read is the matrix that was written, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.stored_quantization import StoredQuantization
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
from sglang.srt.model_loader.checkpoint import open_checkpoint
from sglang.srt.model_loader.quantized_checkpoint import as_plain
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from tests.model_loader import quantized_writers as formats

SHAPE = (64, 96)
SPEC = TensorSpec("layer.weight", SHAPE)
NORM = torch.arange(4, dtype=torch.float16)

FORMATS = {
    "awq": formats.awq(32),
    "gptq": formats.gptq(4, 32),
    "gptq asymmetric": formats.gptq(4, 32, symmetric=False),
    "gptq act order": formats.gptq(4, 32, ordered=False),
    "gptq 8 bits": formats.gptq(8, 96),
    "gptq 8 bits asymmetric": formats.gptq(8, 32, symmetric=False),
    "gptq 3 bits": formats.gptq(3, 32, symmetric=False),
    "gptq 2 bits": formats.gptq(2, 32, symmetric=False),
    "gptq v2": formats.gptq(4, 32, symmetric=False, version=2),
    "fp8 tensor": formats.fp8("tensor"),
    "fp8 static": formats.fp8("static"),
    "fp8 channel": formats.fp8("channel"),
    "fp8 block": formats.fp8("block", (32, 16)),
    "fp8 block with a rest": formats.fp8("block", (48, 64)),
    "nf4": formats.bitsandbytes4(nested=False),
    "nf4 nested": formats.bitsandbytes4(nested=True),
    "nf4 blocks of rows and a half": formats.bitsandbytes4(128, nested=True),
    "nf4 blocks within rows": formats.bitsandbytes4(32, nested=True),
    "fp4": formats.bitsandbytes4(nested=False, kind="fp4"),
    "llm.int8": formats.bitsandbytes8(),
    "w8a8": formats.compressed("int-quantized", 8, "channel"),
    "w8a8 tensor": formats.compressed("int-quantized", 8, "tensor"),
    "w8a8 asymmetric": formats.compressed("int-quantized", 8, "channel", symmetric=False),
    "w4a16": formats.compressed("pack-quantized", 4, "group", 32),
    "w4a16 asymmetric": formats.compressed("pack-quantized", 4, "group", 32, symmetric=False),
    "w4a16 channel": formats.compressed("pack-quantized", 4, "channel"),
    "w8a16": formats.compressed("pack-quantized", 8, "channel"),
    "w4a16 naive": formats.compressed("naive-quantized", 4, "group", 32),
    "fp8 compressed": formats.compressed_float("tensor"),
    "fp8 compressed channel": formats.compressed_float("channel"),
    "fp8 compressed block": formats.compressed_float("block"),
}


def random_matrix(seed: int = 0, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write(
    folder: Path, writer: formats.Writer, names: tuple[str, ...] = ("layer",), **changed: Any
) -> list[torch.Tensor]:
    """A checkpoint with a quantized matrix for each of ``names``; returns what they stand for.

    ``changed`` replaces tensors of the first; None leaves one away.
    """
    tensors, matrices = {"norm.weight": NORM}, []
    for seed, name in enumerate(names):
        written = writer(random_matrix(seed))
        tensors |= {f"{name}.{part}": value for part, value in written.tensors.items()}
        matrices.append(written.matrix)
    for part, value in changed.items():
        tensors[f"{names[0]}.{part}"] = value
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / FILE)
    return matrices


FILE = "model.safetensors"


def reader(
    folder: Path, settings: formats.Settings, dtype: torch.dtype = torch.float32
) -> WeightReader:
    stored = StoredQuantization(settings["quant_method"], settings)
    cpu = torch.device("cpu")
    checkpoint = as_plain(open_checkpoint(str(folder)), stored, dtype, cpu)
    return WeightReader(checkpoint, dtype=dtype, device=cpu, show_progress=False)


@pytest.mark.parametrize("name", FORMATS)
def test_the_matrix_is_what_was_written(tmp_path: Path, name: str) -> None:
    settings, writer = FORMATS[name]
    (matrix,) = write(tmp_path, writer)
    with reader(tmp_path, settings) as weights:
        found = weights.read(SPEC)
    torch.testing.assert_close(found, matrix, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", FORMATS)
def test_the_writers_are_close_to_the_original(tmp_path: Path, name: str) -> None:
    original = random_matrix()
    matrix = FORMATS[name][1](original).matrix
    bound = 0.6 if "2 bits" in name else 0.35 if "3 bits" in name else 0.2
    assert (matrix - original).norm() < bound * original.norm()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_unread(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings, writer = FORMATS[name]
    write(tmp_path, writer)
    with reader(tmp_path, settings) as weights:
        weights.read(SPEC)
        assert torch.equal(weights.read(TensorSpec("norm.weight", (4,))), NORM.float())
        weights.finish()
    assert "not used" not in caplog.text


@pytest.mark.parametrize("name", FORMATS)
def test_fused_matrices_lie_below_one_another(tmp_path: Path, name: str) -> None:
    settings, writer = FORMATS[name]
    matrices = write(tmp_path, writer, ("q", "k"))
    with reader(tmp_path, settings) as weights:
        found = weights.read_fused([TensorSpec(f"{part}.weight", SHAPE) for part in "qk"])
    torch.testing.assert_close(found, torch.cat(matrices), rtol=1e-6, atol=1e-7)


ASYMMETRIC = WeightScheme(4, 32, zeros=True)
KEPT = {
    "awq": ASYMMETRIC,
    "gptq": WeightScheme(4, 32),
    "gptq asymmetric": ASYMMETRIC,
    "gptq v2": ASYMMETRIC,
    "gptq 8 bits": WeightScheme(8, activation_bits=16),
    "llm.int8": WeightScheme(8, activation_bits=16),
    "w8a8": WeightScheme(8, activation_bits=16),
    "w8a8 tensor": WeightScheme(8, activation_bits=16),
    "w4a16": WeightScheme(4, 32),
    "w4a16 asymmetric": ASYMMETRIC,
    "w4a16 naive": WeightScheme(4, 32),
    "w8a16": WeightScheme(8, activation_bits=16),
}


@pytest.mark.parametrize("name", FORMATS)
def test_integers_of_the_kernels_form_stay_integers(tmp_path: Path, name: str) -> None:
    settings, writer = FORMATS[name]
    matrices = write(tmp_path, writer, ("q", "k"))
    specs = [TensorSpec(f"{part}.weight", SHAPE) for part in "qk"]
    with reader(tmp_path, settings, torch.bfloat16) as weights:
        found = weights.read_matrix(specs)
    assert (found.scheme if isinstance(found, QuantizedWeight) else None) == KEPT.get(name)
    wide = found.dequantize() if isinstance(found, QuantizedWeight) else found.float()
    # One scale, or one number, rounded to bfloat16.
    torch.testing.assert_close(wide, torch.cat(matrices), rtol=2**-8, atol=1e-7)


def test_matrices_of_different_schemes_are_converted(tmp_path: Path) -> None:
    settings, writer = FORMATS["gptq asymmetric"]
    matrices = [random_matrix(0), random_matrix(1)]
    written = [writer(matrices[0]), FORMATS["gptq"][1](matrices[1])]
    tensors = {
        f"{name}.{part}": value
        for name, each in zip("qk", written, strict=True)
        for part, value in each.tensors.items()
    }
    save_file(tensors, tmp_path / FILE)
    specs = [TensorSpec(f"{part}.weight", SHAPE) for part in "qk"]
    with reader(tmp_path, settings, torch.bfloat16) as weights:
        found = weights.read_matrix(specs)
    assert isinstance(found, torch.Tensor)
    expected = torch.cat([each.matrix for each in written])
    torch.testing.assert_close(found.float(), expected, rtol=2**-7, atol=1e-7)


def test_activations_of_8_bits_are_as_the_checkpoint_says(tmp_path: Path) -> None:
    settings, writer = formats.compressed("int-quantized", 8, "channel")
    settings["config_groups"]["group_0"]["input_activations"] = {"num_bits": 8, "type": "int"}
    write(tmp_path, writer)
    with reader(tmp_path, settings, torch.bfloat16) as weights:
        found = weights.read_matrix([SPEC])
    assert isinstance(found, QuantizedWeight)
    assert found.scheme == WeightScheme(8, activation_bits=8)


@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_float32_is_exact(tmp_path: Path, name: str) -> None:
    settings, writer = FORMATS[name]
    write(tmp_path, writer)
    with reader(tmp_path, settings) as weights:
        assert isinstance(weights.read_matrix([SPEC]), torch.Tensor)


def test_what_is_not_converted_stays_plain(tmp_path: Path) -> None:
    settings, writer = FORMATS["fp8 block"]
    head = random_matrix(7)
    tensors = {f"layer.{part}": value for part, value in writer(random_matrix()).tensors.items()}
    save_file({**tensors, "lm_head.weight": head}, tmp_path / FILE)
    with reader(tmp_path, settings) as weights:
        assert torch.equal(weights.read(TensorSpec("lm_head.weight", SHAPE)), head)


DAMAGED = {
    "scales missing": ("awq", {"scales": None}, "tensor layer.scales is missing"),
    "scales short": ("awq", {"scales": torch.ones(2, 64).half()}, r"scales has shape \[2, 64\]"),
    "zeros missing": ("awq", {"qzeros": None}, "layer.qzeros is missing"),
    "zeros float": (
        "awq",
        {"qzeros": torch.ones(3, 8)},
        "qzeros has dtype float32, expected int32",
    ),
    "one dimension": ("gptq", {"qweight": torch.ones(8, dtype=torch.int32)}, "two dimensions"),
    "another shape": (
        "gptq",
        {"qweight": torch.ones(12, 63, dtype=torch.int32)},
        r"layer.weight has shape \[63, 96\], expected \[64, 96\]",
    ),
    "group too high": (
        "gptq act order",
        {"g_idx": torch.full((96,), 3, dtype=torch.int32)},
        "g_idx names groups outside of 0 .. 2",
    ),
    "group negative": (
        "gptq act order",
        {"g_idx": torch.full((96,), -1, dtype=torch.int32)},
        "g_idx names groups outside",
    ),
    "scale of another shape": (
        "fp8 block",
        {"weight_scale_inv": torch.ones(3, 3)},
        r"weight_scale_inv has shape \[3, 3\], which does not fit a matrix \[64, 96\] in blocks",
    ),
    "scales for plain weights": (
        "fp8 tensor",
        {"weight": torch.ones(64, 96)},
        "layer.weight has dtype float32, expected float8_e4m3fn",
    ),
    "state no json": (
        "nf4",
        {"weight.quant_state.bitsandbytes__nf4": torch.ones(5, dtype=torch.uint8)},
        "bitsandbytes__nf4 is no JSON",
    ),
    "table short": ("nf4", {"weight.quant_map": torch.ones(4)}, r"quant_map has shape \[4\]"),
    "bytes short": (
        "nf4",
        {"weight": torch.ones(7, 1, dtype=torch.uint8)},
        "weight has 7 bytes, too few or many for 6144",
    ),
    "SCB short": ("llm.int8", {"SCB": torch.ones(3)}, r"SCB has shape \[3\], expected \[64\]"),
    "columns of another machine": (
        "llm.int8",
        {"weight_format": torch.tensor(2, dtype=torch.uint8)},
        "weight_format is not 0",
    ),
    "packed short": (
        "w4a16",
        {"weight_packed": torch.ones(64, 11, dtype=torch.int32)},
        r"weight_packed has shape \[64, 11\], which no group of the configuration makes",
    ),
    "shape missing": ("w4a16", {"weight_shape": None}, "layer.weight_shape is missing"),
    "shape negative": ("w4a16", {"weight_shape": torch.tensor([64, -96])}, "not positive"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    kind, changed, message = DAMAGED[name]
    settings, writer = FORMATS[kind]
    write(tmp_path, writer, **changed)
    with reader(tmp_path, settings) as weights, pytest.raises(ModelLoadError, match=message):
        weights.read(SPEC)


REFUSED = [
    ({"quant_method": "hqq"}, r"quantized checkpoints \(hqq\) are not implemented yet"),
    ({"quant_method": "awq", "bits": 3}, "'bits' 3 is not implemented; known: 4"),
    ({"quant_method": "awq", "bits": 4, "version": "marlin"}, "'version' 'marlin' is not impl"),
    ({"quant_method": "gptq"}, "'bits' must be an integer, got None"),
    ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "'group_size' must be positive or -1"),
    (
        {"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"},
        "'checkpoint_format' 'marlin' is not implemented",
    ),
    ({"quant_method": "fp8", "weight_block_size": [128]}, "'weight_block_size' must be two"),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "'quant_algo' 'NVFP4' is not impl"),
    ({"quant_method": "compressed-tensors"}, "'config_groups' must be an object"),
    (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
        "the format 'nvfp4-pack-quantized' of compressed-tensors is not implemented",
    ),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_what_is_not_implemented_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    write(tmp_path, FORMATS["awq"][1])
    with pytest.raises(ModelLoadError, match=message):
        reader(tmp_path, settings)


@pytest.mark.parametrize("kind", ["tensor", "channel", "block"])
def test_large_matrices_are_converted_in_parts(tmp_path: Path, kind: str) -> None:
    settings, writer = formats.fp8(kind, (96, 160))
    written = writer(random_matrix(shape=(700, 640)))
    save_file({f"layer.{part}": value for part, value in written.tensors.items()}, tmp_path / FILE)
    with reader(tmp_path, settings) as weights:
        found = weights.read(TensorSpec("layer.weight", (700, 640)))
    torch.testing.assert_close(found, written.matrix, rtol=1e-6, atol=1e-9)


def test_every_float8_is_read_as_it_is(tmp_path: Path) -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(16, 16).view(torch.float8_e4m3fn)
    save_file({"layer.weight": codes, "layer.weight_scale": torch.tensor(1.0)}, tmp_path / FILE)
    with reader(tmp_path, {"quant_method": "fp8"}) as weights:
        found = weights.read(TensorSpec("layer.weight", (16, 16)))
    torch.testing.assert_close(found, codes.float(), rtol=0, atol=0, equal_nan=True)
