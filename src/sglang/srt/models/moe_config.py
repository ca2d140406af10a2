"""The facts about a family's mixture of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.routing import Routing


@dataclass(frozen=True)
class MoEConfig:
    """Mixtures of experts in the place of some MLPs."""

    num_experts: int
    intermediate_size: int
    """Of one expert."""
    routing: Routing
    layers: frozenset[int]
    """The layers with a mixture; the others have the MLP that ``DecoderConfig`` describes."""
    router_bias: bool = False
    correction_bias: bool = False
    """There is a tensor that is added to the scores to choose by."""
    expert_bias: bool = False
    shared_size: int = 0
    """Intermediate size of the MLP beside the experts; 0: there is none."""
    shared_gate: bool = False
    scale_input: bool = False

    def __post_init__(self) -> None:
        try:
            self.routing.check(self.num_experts)
        except ValueError as error:
            raise ModelLoadError(f"config.json: {error}") from None


def expert_count(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """``config[key]``, within reason."""
    return positive_int(config, key, default, limit=10_000)


def layers_by_step(config: Mapping[str, Any], num_layers: int) -> frozenset[int]:
    """Each ``decoder_sparse_step``-th layer but those of ``mlp_only_layers`` (the Qwen way)."""
    step = positive_int(config, "decoder_sparse_step", 1)
    dense = config.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(type(i) is int for i in dense):
        raise ModelLoadError(f"config.json: 'mlp_only_layers' must list layers, got {dense!r}")
    return frozenset(i for i in range(num_layers) if (i + 1) % step == 0 and i not in dense)


def deepseek_moe(
    config: Mapping[str, Any],
    routing: Routing,
    num_layers: int,
    *,
    default_dense: int = 0,
    correction_bias: bool = False,
) -> MoEConfig | None:
    """The mixtures that DeepSeek's keys describe; None without ``n_routed_experts``.

    They are in every ``moe_layer_freq``-th layer from ``first_k_dense_replace`` on. The shared
    experts are one MLP, as wide as they are together.
    """
    if config.get("n_routed_experts") is None:
        return None
    first = config.get("first_k_dense_replace", default_dense) or 0
    if type(first) is not int or first < 0:
        raise ModelLoadError(
            f"config.json: 'first_k_dense_replace' must be a number of layers, got {first!r}"
        )
    every = positive_int(config, "moe_layer_freq", 1)
    size = positive_int(config, "moe_intermediate_size")
    shared = expert_count(config, "n_shared_experts") if config.get("n_shared_experts") else 0
    return MoEConfig(
        num_experts=expert_count(config, "n_routed_experts"),
        intermediate_size=size,
        routing=routing,
        layers=frozenset(i for i in range(first, num_layers) if i % every == 0),
        correction_bias=correction_bias,
        shared_size=size * shared,
    )
