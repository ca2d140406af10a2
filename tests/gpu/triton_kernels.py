"""The Triton kernels under test, on the GPU that is there or else interpreted on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")

from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.triton.kernels import TritonKernels
from tests.kernels.attention_cases import Case

if TYPE_CHECKING:
    from sglang.srt.kernels import TritonSettings

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
REFERENCE = ReferenceKernels(DEVICE)
TRITON = TritonKernels(DEVICE)

TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
"""Of bfloat16 a whole step: the interpreter cuts where a GPU rounds."""


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def close(actual: torch.Tensor, expected: torch.Tensor, factor: float = 1.0) -> None:
    tolerance = TOLERANCE[expected.dtype] * factor
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def on_device(case: Case) -> Case:
    """A case of ``tests.kernels.attention_cases``, whose tables are made when it is run."""
    cache = case.cache
    scales = (x if x is None else x.to(DEVICE) for x in (cache.k_scale, cache.v_scale))
    moved = replace(cache, k=cache.k.to(DEVICE), v=cache.v.to(DEVICE))
    k_scale, v_scale = scales
    return replace(
        case, q=case.q.to(DEVICE), cache=replace(moved, k_scale=k_scale, v_scale=v_scale)
    )


def with_settings(settings: TritonSettings) -> TritonKernels:
    return TritonKernels(DEVICE, settings)
