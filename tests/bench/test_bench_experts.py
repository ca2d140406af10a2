"""How many bytes of experts a decode step is said to read."""

from __future__ import annotations

import pytest
import torch

from sglang.bench.weights_read import weight_bytes_read
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.routing import Routing
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.moe import MoE

HIDDEN, INNER, EXPERTS = 6, 5, 4


@pytest.mark.parametrize(("sequences", "chosen"), [(1, 1.0), (2, 1.75), (1000, 4.0)])
def test_of_experts_those_that_are_chosen_count(sequences: int, chosen: float) -> None:
    kernels = ReferenceKernels()
    layer = MoE(
        kernels,
        router=Linear(kernels, torch.zeros(EXPERTS, HIDDEN)),
        correction=None,
        routing=Routing(1),
        up=kernels.pack_experts(torch.zeros(EXPERTS, 2 * INNER, HIDDEN), EXPERTS),
        down=kernels.pack_experts(torch.zeros(EXPERTS, HIDDEN, INNER), EXPERTS),
        activation="silu",
    )
    router, expert = 4 * EXPERTS * HIDDEN, 4 * 3 * HIDDEN * INNER
    assert weight_bytes_read(layer, sequences) == router + chosen * expert
