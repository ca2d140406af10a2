"""The facts about multi-head latent attention, and how DeepSeek's keys say them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sglang.srt.configs.model_config import positive_int


@dataclass(frozen=True)
class MLAConfig:
    """Keys and values of all heads come from one row per token (DeepSeek-V2, arXiv:2405.04434)."""

    q_rank: int
    """Width between the two matrices that make the queries; 0: there is one matrix."""
    latent_dim: int
    """What of a row is multiplied with a matrix to be keys and values; the rest is rotated."""
    nope_dim: int
    """Dimensions of a query or key head that are not rotated."""
    rope_dim: int
    value_dim: int
    """Of one head."""
    bias: bool = False
    """Of the matrices that make the row and the first width of the queries."""
    norm_eps: float = 1e-6
    """Of the norms inside, whatever that of the others is."""

    @property
    def head_dim(self) -> int:
        """Of queries and keys."""
        return self.nope_dim + self.rope_dim

    @property
    def row_dim(self) -> int:
        """What is kept of a token."""
        return self.latent_dim + self.rope_dim


def parse_mla(
    config: Mapping[str, Any], *, default_value_dim: int | None = None, bias: bool = False
) -> MLAConfig:
    """Map the keys of DeepSeek-V2, which later families kept.

    Raises ModelLoadError naming the field that is missing or senseless.
    """
    has_q_rank = config.get("q_lora_rank") is not None
    return MLAConfig(
        q_rank=positive_int(config, "q_lora_rank") if has_q_rank else 0,
        latent_dim=positive_int(config, "kv_lora_rank"),
        nope_dim=positive_int(config, "qk_nope_head_dim"),
        rope_dim=positive_int(config, "qk_rope_head_dim"),
        value_dim=positive_int(config, "v_head_dim", default_value_dim),
        bias=bias,
    )
