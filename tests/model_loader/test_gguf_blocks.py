"""Quantized blocks of GGUF files, compared with the reference of the gguf package."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import quants

from sglang.srt.configs.gguf_file import TENSOR_TYPES, GGUFTensor
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.model_loader.formats.gguf_blocks import to_integers, to_torch

QUANTIZED = {kind.name: number for number, kind in TENSOR_TYPES.items() if kind.block_elements > 1}
FINITE = 0x3FFF
"""Halves with the upper exponent bit clear are below 2."""


def random_blocks(name: str, rows: int, blocks: int, seed: int = 0) -> GGUFTensor:
    """Any bytes, but for scales that are no numbers."""
    kind = TENSOR_TYPES[QUANTIZED[name]]
    data = np.random.default_rng(seed).integers(
        0, 256, (rows, blocks, kind.block_bytes), dtype=np.uint8
    )
    if name == "MXFP4":
        data[:, :, 0] = data[:, :, 0] % 20 + 118
    else:
        for at in HALVES[name]:
            data[:, :, at + 1] &= FINITE >> 8
    shape = (rows, blocks * kind.block_elements)
    return GGUFTensor("x", shape, kind, data.reshape(rows, -1), Path("x"))


HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
}
"""Where the float16 numbers of a block are."""


@pytest.mark.parametrize("name", QUANTIZED)
def test_blocks_are_what_the_reference_says(name: str) -> None:
    tensor = random_blocks(name, rows=7, blocks=3)
    kind = gguf.GGMLQuantizationType(QUANTIZED[name])
    expected = torch.from_numpy(quants.dequantize(tensor.data, kind))
    found = to_torch(tensor, slice(0, 7), torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_part_is_a_part_of_the_whole(name: str) -> None:
    # Large enough to be converted in several steps.
    tensor = random_blocks(
        name, rows=1100, blocks=256 // TENSOR_TYPES[QUANTIZED[name]].block_elements
    )
    whole = to_torch(tensor, slice(0, 1100), torch.bfloat16)
    assert torch.equal(to_torch(tensor, slice(1030, 1040), torch.bfloat16), whole[1030:1040])


def test_q4_0_is_what_the_kernels_have() -> None:
    tensor = random_blocks("Q4_0", rows=7, blocks=3)
    found = to_integers(tensor, slice(0, 7))
    assert found is not None
    exact = to_torch(tensor, slice(0, 7), torch.float32)
    torch.testing.assert_close(found.dequantize(), exact, rtol=2**-8, atol=1e-7)


@pytest.mark.parametrize("name", ["Q4_1", "Q4_K"])
def test_blocks_with_minima_are_what_the_kernels_have(name: str) -> None:
    """But for the rounding of scales and zero points to bfloat16."""
    tensor = random_blocks(name, rows=7, blocks=6)
    tensor.data[:, : tensor.type.block_bytes] = 0
    found = to_integers(tensor, slice(0, 7))
    assert found is not None
    assert found.scheme == WeightScheme(4, 32, zeros=True)
    exact = to_torch(tensor, slice(0, 7), torch.float32)
    largest = exact.view(7, -1, 32).abs().amax(-1, keepdim=True).expand(-1, -1, 32).flatten(1)
    error = (found.dequantize() - exact).abs()
    assert (error <= 2**-7 * largest).all()
    assert not found.dequantize()[:, : tensor.type.block_elements].any()


@pytest.mark.parametrize("name", sorted(QUANTIZED.keys() - {"Q4_0", "Q4_1", "Q4_K"}))
def test_other_blocks_are_not(name: str) -> None:
    assert to_integers(random_blocks(name, rows=1, blocks=1), slice(0, 1)) is None
