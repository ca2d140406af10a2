"""Mixtures of experts: routing, sorting and products, Triton against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sglang.srt.kernels.interface import Kernels, PackedExperts
from sglang.srt.kernels.quantization import WeightScheme, quantize_weight
from sglang.srt.kernels.routing import Routing
from sglang.srt.kernels.triton.experts import sort_pairs
from tests.gpu.triton_kernels import DEVICE, REFERENCE, TRITON, close, randn

# --------------------------------------------------------------------- routing

SIGMOID_GROUPS = {"score": "sigmoid", "num_groups": 4, "top_groups": 2}


@pytest.mark.parametrize(
    ("num_experts", "corrected", "options"),
    [
        (5, False, {"top_k": 2}),
        (60, False, {"top_k": 5, "renormalize": True, "scale": 2.5}),
        (8, False, {"top_k": 1, "score": "sigmoid"}),
        (9, True, {"top_k": 9, "score": "sigmoid"}),
        (20, True, {"top_k": 4, "group_score": "best_two", **SIGMOID_GROUPS}),
        (12, False, {"top_k": 6, "num_groups": 3, "top_groups": 2}),
        (16, False, {"top_k": 2, "score": "sparsemixer", "jitter": 0.1}),
        (8, False, {"top_k": 2, "softcap": 2.0}),
    ],
)
def test_routing(num_experts: int, corrected: bool, options: dict[str, Any]) -> None:
    logits = 2 * randn(9, num_experts + 2)[:, 1:-1]
    correction = randn(num_experts, seed=1) if corrected else None
    routing = Routing(**options)
    found, weights = TRITON.route(logits, correction, routing)
    expected, expected_weights = REFERENCE.route(logits, correction, routing)
    assert torch.equal(found, expected)
    close(weights, expected_weights)


@pytest.mark.parametrize("groups", [1, 3])
def test_of_equal_scores_the_lower_number_is_better(groups: int) -> None:
    routing = Routing(3, num_groups=groups, top_groups=groups)
    logits = torch.tensor([[0.0] * 6, [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]], device=DEVICE)
    assert TRITON.route(logits, None, routing)[0].tolist() == [[0, 1, 2], [1, 3, 4]]


@pytest.mark.parametrize("score", ["softmax", "sigmoid", "sparsemixer"])
@pytest.mark.parametrize("groups", [1, 2])
def test_scores_of_no_numbers_show_in_the_weights(score: Any, groups: int) -> None:
    logits = torch.full((1, 6), torch.nan, device=DEVICE)
    routing = Routing(4, score, num_groups=groups, top_groups=groups)
    experts, weights = TRITON.route(logits, None, routing)
    assert sorted(experts[0].tolist()) == [0, 1, 2, 3] and weights.isnan().all()


def test_more_experts_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot choose 7 of 6 experts"):
        TRITON.route(randn(1, 6), None, Routing(7))


# --------------------------------------------------------------------- sorting


@pytest.mark.parametrize(("tokens", "num_experts"), [(1, 3), (40, 3), (90, 2), (700, 5)])
def test_pairs_stand_in_blocks_of_their_expert(tokens: int, num_experts: int) -> None:
    generator = torch.Generator().manual_seed(tokens)
    experts = torch.randint(num_experts, (tokens, 2), generator=generator).int()
    order = sort_pairs(experts.to(DEVICE), num_experts)
    seen = []
    blocks = order.places.view(-1, order.block_m).tolist()
    for owner, block in zip(order.owners.tolist(), blocks, strict=True):
        pairs = [pair for pair in block if pair < 2 * tokens] if owner >= 0 else []
        assert all(experts.view(-1)[pair] == owner for pair in pairs)
        seen += pairs
    stable = experts.view(-1).argsort(stable=True)
    assert seen == stable.tolist()


# -------------------------------------------------------------------- products


def run(
    kernels: Kernels,
    tokens: int,
    *,
    hidden: int = 40,
    inner: int = 24,
    num_experts: int = 5,
    dtype: torch.dtype = torch.float32,
    biased: bool = False,
    kind: Any = "silu",
    **options: Any,
) -> torch.Tensor:
    def pack(rows: int, columns: int, seed: int) -> PackedExperts:
        matrices = columns**-0.5 * randn(num_experts, rows, columns, seed=seed)
        bias = randn(num_experts, rows, dtype=dtype, seed=seed + 1) if biased else None
        return kernels.pack_experts(iter(matrices.to(dtype)), num_experts, bias)

    experts, weights = REFERENCE.route(randn(tokens, num_experts, seed=7), None, Routing(2))
    x = randn(tokens, hidden + 3, dtype=dtype, seed=8)[:, 1:-2]
    up, down = pack(2 * inner, hidden, 1), pack(hidden, inner, 3)
    return kernels.expert_mlp(x, experts, weights, up, down, kind=kind, **options)


def check(*arguments: Any, **options: Any) -> None:
    close(run(TRITON, *arguments, **options), run(REFERENCE, *arguments, **options), factor=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("tokens", [1, 50])
def test_expert_mlp(tokens: int, dtype: torch.dtype) -> None:
    check(tokens, dtype=dtype)


@pytest.mark.parametrize("tokens", [150, 300])
def test_tall_blocks(tokens: int) -> None:
    check(tokens, num_experts=2, dtype=torch.bfloat16)


def test_sizes_that_are_no_multiples_of_blocks() -> None:
    check(3, hidden=133, inner=71)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "clamped_swiglu"])
def test_activations_with_biases(kind: str) -> None:
    check(4, kind=kind, limit=0.7, biased=True)


def test_weights_of_the_input() -> None:
    check(4, scale_input=True, dtype=torch.bfloat16)


def test_no_tokens_are_no_work() -> None:
    assert run(TRITON, 0).shape == (0, 40)


def test_quantized_experts_go_the_way_of_the_reference() -> None:
    quantized = [quantize_weight(matrix, WeightScheme(8)) for matrix in randn(3, 8, 8)]
    x, experts = randn(2, 8), torch.tensor([[0, 2], [1, 0]], dtype=torch.int32, device=DEVICE)
    found, expected = (
        kernels.expert_mlp(
            x,
            experts,
            torch.ones(2, 2, device=DEVICE),
            kernels.pack_experts(quantized, 3),
            kernels.pack_experts([quantize_weight(randn(8, 4), WeightScheme(8))] * 3, 3),
            kind="silu",
        )
        for kernels in (TRITON, REFERENCE)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("matrices", [[], [(3, 4)], [(3, 4), (4, 3)], [(3, 4)] * 3])
def test_experts_that_are_not_alike_are_refused(matrices: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="there must be 2 experts"):
        TRITON.pack_experts((randn(*shape) for shape in matrices), 2)
