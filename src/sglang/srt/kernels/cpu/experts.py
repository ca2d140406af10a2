"""Mixtures of experts on a CPU: calls into the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from struct import Struct

import torch

from sglang.srt.kernels.cpu.activation import CLAMPED_SWIGLU, GELU_ERF, GELU_TANH, SILU
from sglang.srt.kernels.cpu.checks import DTYPE_CODES, describe, row_stride
from sglang.srt.kernels.cpu.quantized_linear import form_of
from sglang.srt.kernels.cpu.recording import Operation
from sglang.srt.kernels.interface import Activation, PackedExperts, PackedLinear
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.routing import Routing

# The C structs of the same names: addresses, then int64_t, then double.
ROUTE = Struct("@4P9q3d")
EXPERTS = Struct("@8P17qd")
ADD_GATED = Struct("@3P5q")

_SCORES = {"softmax": 0, "sigmoid": 1, "sparsemixer": 2}
_KINDS: dict[Activation, int] = {
    "silu": SILU,
    "gelu": GELU_ERF,
    "gelu_tanh": GELU_TANH,
    "clamped_swiglu": CLAMPED_SWIGLU,
}

Allocate = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]


class ExpertCalls:
    """The part of ``CpuKernels`` that chooses experts and asks them.

    The arguments are those of ``AttentionCalls``; ``work`` is told the multiply-adds of a row.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        *,
        call: Callable[..., bool],
        new: Callable[[str, torch.Tensor, int, int, torch.dtype], torch.Tensor],
        fallback: Callable[[], ReferenceKernels],
        work: Callable[[int], None],
    ) -> None:
        self._call, self._new, self._fallback, self._work = call, new, fallback, work
        self._route = Operation(library.route, ROUTE, counts_rows_at=4)
        self._expert_mlp = Operation(library.expert_mlp, EXPERTS, counts_rows_at=8)
        self._add_gated = Operation(library.add_gated, ADD_GATED, counts_rows_at=3)

    def route(
        self, logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``interface.Kernels``, here and below."""
        rows, count = logits.shape
        routing.check(count)
        if logits.dtype != torch.float32:
            raise ValueError(f"logits must be float32, got {describe(logits)}")
        _check("correction", correction, (count,), torch.float32)
        experts = self._new("experts", logits, rows, routing.top_k, torch.int32)
        weights = self._new("weights", logits, rows, routing.top_k, torch.float32)
        self._call(
            self._route,
            *(logits.data_ptr(), _address(correction), experts.data_ptr(), weights.data_ptr()),
            *(rows, count, routing.top_k, row_stride("logits", logits)),
            *(_SCORES[routing.score], routing.renormalize),
            *(routing.num_groups, routing.top_groups, routing.group_score == "best_two"),
            *(routing.scale, routing.softcap, routing.jitter),
        )
        return experts, weights

    def expert_mlp(
        self,
        x: torch.Tensor,
        experts: torch.Tensor,
        weights: torch.Tensor,
        up: PackedExperts,
        down: PackedExperts,
        *,
        kind: Activation,
        limit: float = 0.0,
        scale_input: bool = False,
    ) -> torch.Tensor:
        code = DTYPE_CODES.get(x.dtype)
        if code is None or kind not in _KINDS:
            return self._fallback().expert_mlp(
                x, experts, weights, up, down, kind=kind, limit=limit, scale_input=scale_input
            )
        (rows, hidden), (count, top_k) = x.shape, (len(up.data), experts.shape[1])
        inner = down.in_features
        _check("experts", experts, (rows, top_k), torch.int32)
        _check("weights", weights, (rows, top_k), torch.float32)
        _check_experts("up", up, x.dtype, count, (2 * inner, hidden))
        _check_experts("down", down, x.dtype, count, (hidden, inner))
        self._work(3 * top_k * inner * hidden)
        out = self._new("mixture", x, rows, hidden, x.dtype)
        if not self._call(
            self._expert_mlp,
            *(x.data_ptr(), experts.data_ptr(), weights.data_ptr()),
            *(up.data.data_ptr(), down.data.data_ptr(), _address(up.bias), _address(down.bias)),
            *(out.data_ptr(), rows, top_k, count, hidden, inner, row_stride("x", x), code),
            *(_KINDS[kind], scale_input, *_scheme(up), *_scheme(down), limit),
        ):
            raise MemoryError(
                f"no memory for {rows} rows of {top_k} experts, or an expert is not in 0 .. "
                f"{count - 1}"
            )
        return out

    def add_gated(self, x: torch.Tensor, gate: torch.Tensor, residual: torch.Tensor) -> None:
        code = DTYPE_CODES.get(x.dtype)
        if code is None:
            self._fallback().add_gated(x, gate, residual)
            return
        rows, width = x.shape
        _check("gate", gate, (rows, 1), torch.float32)
        if residual.shape != x.shape or residual.dtype != x.dtype:
            raise ValueError(f"residual must be as x, {describe(x)}, got {describe(residual)}")
        self._call(
            *(self._add_gated, x.data_ptr(), gate.data_ptr(), residual.data_ptr()),
            *(rows, width, row_stride("x", x), row_stride("residual", residual), code),
        )


def pack_experts(
    weights: Iterable[torch.Tensor | QuantizedWeight],
    count: int,
    bias: torch.Tensor | None,
    *,
    pack: Callable[[torch.Tensor | QuantizedWeight, Allocate], PackedLinear],
    allocate: Allocate,
) -> PackedExperts:
    """See ``interface.Kernels``; ``pack`` packs one matrix into memory that it asks for."""
    shelf: list[torch.Tensor] = []
    packed: list[PackedLinear] = []

    def place(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        if not shelf:
            shelf.append(allocate((count, *shape), dtype))
        if shelf[0].shape[1:] != shape or shelf[0].dtype != dtype:
            raise ValueError(f"the matrix of expert {len(packed)} is not like the first")
        return shelf[0][len(packed)]

    for weight in weights:
        if len(packed) == count:
            raise ValueError(f"there must be {count} experts, got more")
        packed.append(pack(weight, place))
    shapes = {(one.out_features, one.in_features, one.scheme) for one in packed}
    if len(packed) != count or len(shapes) != 1:
        raise ValueError(f"there must be {count} experts alike, got {len(packed)}: {shapes}")
    return PackedExperts(shelf[0], *shapes.pop(), bias=bias)


def _check_experts(
    name: str, packed: PackedExperts, dtype: torch.dtype, count: int, shape: tuple[int, int]
) -> None:
    found = (packed.out_features, packed.in_features)
    if len(packed.data) != count or found != shape:
        raise ValueError(
            f"{name} must be {count} matrices {list(shape)}, got {len(packed.data)} {list(found)}"
        )
    if packed.scheme is None and packed.data.dtype != dtype:
        raise ValueError(f"{name} must be {dtype} as x, got {packed.data.dtype}")
    _check(f"the bias of {name}", packed.bias, (count, shape[0]), dtype)


def _scheme(packed: PackedExperts) -> tuple[int, int, int, int]:
    """The fields of the C struct of this name."""
    scheme = packed.scheme
    if scheme is None:
        return 0, 0, 0, 0
    return scheme.bits, scheme.activation_bits // 8, scheme.group_size, form_of(scheme)


def _check(name: str, x: torch.Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if x is not None and (x.shape != shape or x.dtype != dtype or not x.is_contiguous()):
        raise ValueError(f"{name} must be contiguous {dtype} {list(shape)}, got {describe(x)}")


def _address(x: torch.Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()
