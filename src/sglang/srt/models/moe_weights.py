"""Where a mixture's tensors are in a checkpoint, and the layer made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from sglang.srt.kernels.interface import Activation, Kernels, PackedExperts
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.mlp import MLP
from sglang.srt.layers.moe import MoE
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.moe_config import MoEConfig

Matrix = torch.Tensor | QuantizedWeight


@dataclass(frozen=True)
class MoENames:
    """Names of the tensors inside a layer; .weight and .bias are added but where it says so."""

    router: str = "mlp.gate"
    correction: str = "mlp.gate.e_score_correction_bias"
    """Whole."""
    gate: str = "mlp.experts.{}.gate_proj"
    """With {} for the number of the expert; without, all experts one below the other, whole."""
    up: str = "mlp.experts.{}.up_proj"
    down: str = "mlp.experts.{}.down_proj"
    """Without {}: transposed, again one below the other, whole."""
    fused_gate_up: str = "mlp.experts.gate_up_proj"
    """[E, 2 I, H], whole; if the checkpoint has it the three above are not used."""
    fused_down: str = "mlp.experts.down_proj"
    """[E, H, I], whole."""
    fused_transposed: bool = False
    """The fused ones are [E, H, 2 I] and [E, I, H]."""
    interleaved: bool = False
    """The fused one has a gate, its other half, the next gate ..."""
    shared_gate_up: str | None = None
    """Where both are one matrix: then the next two names are not used."""
    shared_gate: str = "mlp.shared_experts.gate_proj"
    shared_up: str = "mlp.shared_experts.up_proj"
    shared_down: str = "mlp.shared_experts.down_proj"
    shared_weight: str = "mlp.shared_expert_gate"
    """Its sigmoid is the weight of what the shared MLP gives."""


@dataclass(frozen=True)
class MoEReader:
    """Reads the mixtures of a decoder. Experts are packed one by one: no more is double."""

    config: MoEConfig
    names: MoENames
    reader: WeightReader
    kernels: Kernels
    scheme: WeightScheme | None
    """Of the experts' matrices; the router keeps its precision."""
    hidden_size: int
    activation: Activation
    limit: float
    """Of a clamped activation."""

    def layer(self, prefix: str, shared: Callable[[MoENames], MLP]) -> MoE:
        """The mixture of the layer whose names begin with ``prefix``.

        ``shared`` reads the MLP beside the experts, if there is one.
        """
        config, names = self.config, self.names
        fused = self.reader.has(prefix + names.fused_gate_up)
        correction = None
        if config.correction_bias:
            stored = self.reader.read_stored(prefix + names.correction, (config.num_experts,))
            correction = stored.to(device=self.reader.device, dtype=torch.float32, copy=True)
        return MoE(
            self.kernels,
            router=self._plain(prefix + names.router, config.num_experts, config.router_bias),
            correction=correction,
            routing=config.routing,
            up=self._pack(
                self._fused_up(prefix) if fused else self._ups(prefix),
                self._up_bias(prefix) if config.expert_bias else None,
            ),
            down=self._pack(
                self._fused_down(prefix) if fused else self._downs(prefix),
                self._down_bias(prefix) if config.expert_bias else None,
            ),
            activation=self.activation,
            limit=self.limit,
            scale_input=config.scale_input,
            shared=shared(names) if config.shared_size else None,
            shared_gate=(
                self._plain(prefix + names.shared_weight, 1) if config.shared_gate else None
            ),
        )

    def _plain(self, name: str, outputs: int, bias: bool = False) -> Linear:
        """A matrix with a float32 result, never quantized."""
        weight = self.reader.read(TensorSpec(f"{name}.weight", (outputs, self.hidden_size)))
        added = self.reader.read(TensorSpec(f"{name}.bias", (outputs,))) if bias else None
        return Linear(self.kernels, weight, added, out_dtype=torch.float32)

    def _pack(self, weights: Iterator[Matrix], bias: torch.Tensor | None) -> PackedExperts:
        def kept() -> Iterator[Matrix]:
            for weight in weights:
                if self.scheme is None or isinstance(weight, QuantizedWeight):
                    yield weight
                else:
                    yield self.kernels.quantize_weight(weight, self.scheme)

        return self.kernels.pack_experts(kept(), self.config.num_experts, bias)

    def _read(self, specs: Sequence[TensorSpec]) -> Matrix:
        """Matrices one below the other; integers where they are stored so and may stay so."""
        if self.scheme is None:
            return self.reader.read_matrix(specs)
        return self.reader.read_fused(specs)

    def _ups(self, prefix: str) -> Iterator[Matrix]:
        """[2 I, H] of each expert, from two tensors."""
        inner, names = self.config.intermediate_size, (self.names.gate, self.names.up)
        shape = (inner, self.hidden_size)
        for expert in range(self.config.num_experts):
            if "{}" in names[0]:
                parts = [f"{prefix}{name.format(expert)}.weight" for name in names]
                yield self._read([TensorSpec(part, shape) for part in parts])
            else:
                yield torch.cat([self._stacked(prefix + name, expert) for name in names])

    def _downs(self, prefix: str) -> Iterator[Matrix]:
        """[H, I] of each expert."""
        shape, name = (self.hidden_size, self.config.intermediate_size), prefix + self.names.down
        for expert in range(self.config.num_experts):
            if "{}" in name:
                yield self._read([TensorSpec(f"{name.format(expert)}.weight", shape)])
            else:
                yield self._stacked(name, expert).t()

    def _stacked(self, name: str, expert: int) -> torch.Tensor:
        """[I, H] of one expert, whose rows are below those of the others."""
        inner = self.config.intermediate_size
        spec = TensorSpec(name, (self.config.num_experts * inner, self.hidden_size))
        return self.reader.read_rows(spec, expert * inner, inner)

    def _fused_up(self, prefix: str) -> Iterator[torch.Tensor]:
        shape = (2 * self.config.intermediate_size, self.hidden_size)
        for weight in self._fused(prefix + self.names.fused_gate_up, shape):
            yield gates_first(weight) if self.names.interleaved else weight

    def _fused_down(self, prefix: str) -> Iterator[torch.Tensor]:
        shape = (self.hidden_size, self.config.intermediate_size)
        return self._fused(prefix + self.names.fused_down, shape)

    def _fused(self, name: str, shape: tuple[int, int]) -> Iterator[torch.Tensor]:
        """A matrix of ``shape`` of each expert, from one tensor."""
        count, transposed = self.config.num_experts, self.names.fused_transposed
        spec = TensorSpec(name, (count, *(shape[::-1] if transposed else shape)))
        for expert in range(count):
            weight = self.reader.read_rows(spec, expert, 1)[0]
            yield weight.t() if transposed else weight

    def _up_bias(self, prefix: str) -> torch.Tensor:
        shape = (self.config.num_experts, 2 * self.config.intermediate_size)
        bias = self.reader.read(TensorSpec(f"{prefix}{self.names.fused_gate_up}_bias", shape))
        return gates_first(bias.t()).t().contiguous() if self.names.interleaved else bias

    def _down_bias(self, prefix: str) -> torch.Tensor:
        shape = (self.config.num_experts, self.hidden_size)
        return self.reader.read(TensorSpec(f"{prefix}{self.names.fused_down}_bias", shape))


def gates_first(rows: torch.Tensor) -> torch.Tensor:
    """All rows of the gate, then those of the other half, where they take turns."""
    return torch.cat([rows[0::2], rows[1::2]])
