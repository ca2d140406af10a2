"""Mixtures of experts in C against torch: the choice of experts, and what they give."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.cpu.recording import Counts
from sglang.srt.kernels.interface import Activation
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.routing import Routing

DTYPES = [torch.float32, torch.bfloat16]
SCHEMES = {
    "exact": None,
    "int8": WeightScheme(8),
    "int8-16": WeightScheme(8, activation_bits=16),
    "int4-32": WeightScheme(4, 32),
}
EXPERTS, HIDDEN, INNER, TOP_K = 6, 70, 37, 3


def randn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


class Layer:
    """The matrices of a mixture with some kernels, and a choice of experts for each token."""

    def __init__(
        self,
        kernels: Any,
        dtype: torch.dtype,
        scheme: WeightScheme | None = None,
        *,
        biased: bool = False,
        sizes: tuple[int, int, int] = (EXPERTS, HIDDEN, INNER),
    ) -> None:
        self.kernels, self.scheme = kernels, scheme
        count, hidden, inner = sizes
        ups = randn(count, 2 * inner, hidden, dtype=dtype) * hidden**-0.5
        downs = randn(count, hidden, inner, dtype=dtype, seed=1) * inner**-0.5
        up_bias = randn(count, 2 * inner, dtype=dtype, seed=2) if biased else None
        down_bias = randn(count, hidden, dtype=dtype, seed=3) if biased else None
        self.up = kernels.pack_experts(self._kept(ups), count, up_bias)
        self.down = kernels.pack_experts(self._kept(downs), count, down_bias)

    def _kept(self, weights: torch.Tensor) -> Iterator[Any]:
        for weight in weights:
            if self.scheme is None:
                yield weight
            else:
                yield ReferenceKernels().quantize_weight(weight, self.scheme)

    def __call__(
        self, x: torch.Tensor, *, kind: Activation = "silu", top_k: int = TOP_K, **options: Any
    ) -> torch.Tensor:
        experts, weights = chosen(len(x), len(self.up.data), top_k)
        return self.kernels.expert_mlp(
            x, experts, weights, self.up, self.down, kind=kind, **options
        )


def chosen(rows: int, experts: int, top_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row i has the same whatever comes after it; one expert is never chosen."""
    logits = randn(3000, experts, seed=4)[:rows]
    logits[:, 2] = -9.0
    return ReferenceKernels().route(logits, None, Routing(top_k))


def assert_close(found: torch.Tensor, expected: torch.Tensor, scheme: object = None) -> None:
    tolerance = 1e-5 if found.dtype == torch.float32 else 2e-2
    if scheme is not None:  # where a sum differs in its last bit an integer may be the next one
        tolerance = 2e-2 if found.dtype == torch.float32 else 4e-2
    size = float(expected.float().abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * size)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCHEMES)
def test_experts_equal_the_reference(kernels: CpuKernels, name: str, dtype: torch.dtype) -> None:
    scheme = SCHEMES[name]
    layer, expected = Layer(kernels, dtype, scheme), Layer(ReferenceKernels(), dtype, scheme)
    for rows in (1, 2, 5, 13, 300):
        x = randn(rows, HIDDEN, dtype=dtype, seed=rows)
        assert_close(layer(x), expected(x), scheme)


@pytest.mark.parametrize("kind", ["silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("scale_input", [False, True])
def test_biases_and_activations(kernels: CpuKernels, kind: Activation, scale_input: bool) -> None:
    x = randn(20, HIDDEN)
    for scheme in (None, WeightScheme(8, activation_bits=16)):
        found, expected = (
            Layer(each, torch.float32, scheme, biased=True)(x, kind=kind, scale_input=scale_input)
            for each in (kernels, ReferenceKernels())
        )
        assert_close(found, expected, scheme)


@pytest.mark.parametrize(("first", "second"), [("int8", "exact"), ("exact", "int4-32")])
def test_two_schemes_in_one_layer(kernels: CpuKernels, first: str, second: str) -> None:
    def result(kernels: Any) -> torch.Tensor:
        layer = Layer(kernels, torch.float32, SCHEMES[first])
        layer.down = Layer(kernels, torch.float32, SCHEMES[second]).down
        return layer(randn(9, HIDDEN))

    assert_close(result(kernels), result(ReferenceKernels()), "quantized")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCHEMES)
def test_a_row_does_not_depend_on_the_others(
    kernels: CpuKernels, name: str, dtype: torch.dtype, many_threads: int
) -> None:
    layer = Layer(kernels, dtype, SCHEMES[name])
    x = randn(400, HIDDEN, dtype=dtype)
    whole = layer(x)
    for rows in (1, 3, 50, 399):
        assert torch.equal(layer(x[:rows]), whole[:rows])


def test_strided_rows(kernels: CpuKernels) -> None:
    layer, wide = Layer(kernels, torch.float32), randn(7, 2 * HIDDEN)
    assert torch.equal(layer(wide[:, :HIDDEN]), layer(wide[:, :HIDDEN].contiguous()))


def test_more_tokens_than_the_workspace_takes(kernels: CpuKernels, many_threads: int) -> None:
    layer = Layer(kernels, torch.float32, sizes=(4, 4096, 8))
    x = randn(1, 4096).expand(3000, 4096)  # 3 x 4096 x 8 bytes for each of them
    found = layer(x)
    experts, weights = chosen(3000, 4, TOP_K)
    for row in (0, 1500, 2999):
        alone = kernels.expert_mlp(
            x[:1], experts[row : row + 1], weights[row : row + 1], layer.up, layer.down, kind="silu"
        )
        assert torch.equal(found[row], alone[0])


def test_no_rows(kernels: CpuKernels) -> None:
    assert Layer(kernels, torch.float32)(randn(0, HIDDEN)).shape == (0, HIDDEN)


def test_an_expert_that_there_is_not(kernels: CpuKernels) -> None:
    layer, weights = Layer(kernels, torch.float32), torch.ones(1, 2)
    for wrong in (-1, EXPERTS):
        experts = torch.tensor([[0, wrong]], dtype=torch.int32)
        with pytest.raises(MemoryError, match=r"not in 0 \.\. 5"):
            kernels.expert_mlp(
                randn(1, HIDDEN), experts, weights, layer.up, layer.down, kind="silu"
            )


def test_experts_are_packed_one_by_one(kernels: CpuKernels) -> None:
    given: list[weakref.ref[torch.Tensor]] = []

    def weights() -> Iterator[torch.Tensor]:
        for index in range(8):
            assert sum(weight() is not None for weight in given) <= 2
            weight = randn(8, 8, seed=index)
            given.append(weakref.ref(weight))
            yield weight

    assert len(kernels.pack_experts(weights(), 8).data) == 8


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_experts(kernels: CpuKernels, count: int) -> None:
    with pytest.raises(ValueError, match=f"there must be {count} experts"):
        kernels.pack_experts(iter(randn(3, 8, 8)), count)


@pytest.mark.parametrize("other", [(8, 9), (40, 8), (9, 8)])
def test_experts_of_another_shape(kernels: CpuKernels, other: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"alike|not like the first"):
        kernels.pack_experts(iter([randn(8, 8), randn(*other)]), 2)


def test_matrices_that_do_not_fit(kernels: CpuKernels) -> None:
    layer = Layer(kernels, torch.float32)
    with pytest.raises(ValueError, match="up must be 6 matrices"):
        layer.kernels.expert_mlp(
            randn(1, HIDDEN), *chosen(1, EXPERTS, 2), layer.up, layer.up, kind="silu"
        )


ROUTINGS = {
    "softmax": Routing(3),
    "renormalized": Routing(3, renormalize=True, scale=2.5),
    "sigmoid": Routing(2, score="sigmoid"),
    "all": Routing(12),
    "softcap": Routing(2, softcap=0.5),
    "groups": Routing(4, num_groups=4, top_groups=2),
    "groups-by-two": Routing(
        4, score="sigmoid", renormalize=True, num_groups=3, top_groups=2, group_score="best_two"
    ),
    "sparsemixer": Routing(2, score="sparsemixer", jitter=0.2),
    "sparsemixer-close": Routing(2, score="sparsemixer", jitter=0.01),
}


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("name", ROUTINGS)
def test_routes_equal_the_reference(kernels: CpuKernels, name: str, corrected: bool) -> None:
    routing, logits = ROUTINGS[name], randn(1000, 12)
    correction = randn(12, seed=1) * 0.3 if corrected else None
    found = kernels.route(logits, correction, routing)
    expected = ReferenceKernels().route(logits, correction, routing)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["softmax", "sigmoid", "groups", "sparsemixer"])
def test_of_equal_experts_the_first_is_chosen(kernels: CpuKernels, name: str) -> None:
    routing = ROUTINGS[name]
    for each in (kernels, ReferenceKernels()):
        experts, _ = each.route(torch.zeros(2, 12), None, routing)
        assert experts.tolist() == [list(range(routing.top_k))] * 2


@pytest.mark.parametrize("name", ROUTINGS)
def test_scores_that_are_no_numbers(kernels: CpuKernels, name: str) -> None:
    routing, logits = ROUTINGS[name], randn(3, 12)
    logits[1, 3] = torch.nan
    logits[2] = torch.nan
    experts, weights = kernels.route(logits, None, routing)
    assert torch.equal(experts[0], kernels.route(logits[:1], None, routing)[0][0])
    for row in experts.tolist():
        assert len(set(row)) == routing.top_k
        assert set(row) <= set(range(12))
    assert weights[2].isnan().all()


@pytest.mark.parametrize(
    "routing",
    [
        Routing(9),
        Routing(0),
        Routing(2, num_groups=3),
        Routing(4, num_groups=4, top_groups=1),
        Routing(2, num_groups=8, top_groups=4, group_score="best_two"),
    ],
)
def test_choices_that_cannot_be_made(kernels: CpuKernels, routing: Routing) -> None:
    for each in (kernels, ReferenceKernels()):
        with pytest.raises(ValueError, match="cannot choose"):
            each.route(torch.zeros(1, 8), None, routing)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gated_sum(kernels: CpuKernels, dtype: torch.dtype) -> None:
    x, gate = randn(9, 45, dtype=dtype), randn(9, 1, seed=1)
    found, expected = randn(9, 45, dtype=dtype, seed=2), randn(9, 45, dtype=dtype, seed=2)
    kernels.add_gated(x, gate, found)
    ReferenceKernels().add_gated(x, gate, expected)
    assert_close(found, expected)


@pytest.mark.parametrize("name", ["exact", "int4-32"])
def test_a_replay_equals_a_run_at_every_size(
    kernels: CpuKernels, name: str, many_threads: int
) -> None:
    layer, router = Layer(kernels, torch.bfloat16, SCHEMES[name]), randn(EXPERTS, HIDDEN).bfloat16()
    packed, counts = kernels.pack_linear(router), Counts(tokens=40, logits_rows=39, sequences=4)
    inputs = randn(40, HIDDEN).bfloat16()

    def forward(x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            logits = kernels.linear(x, packed, out_dtype=torch.float32)
            experts, weights = kernels.route(logits, None, Routing(TOP_K))
            x = kernels.expert_mlp(x, experts, weights, layer.up, layer.down, kind="silu")
        return x

    recording = kernels.record(lambda: forward(inputs), counts)
    for tokens in (1, 2, 17, 40):
        x = randn(tokens, HIDDEN, seed=tokens).bfloat16()
        inputs[:tokens] = x
        found = recording.run(Counts(tokens, min(tokens, 39), 1))
        assert torch.equal(found, forward(x)[: len(found)])
