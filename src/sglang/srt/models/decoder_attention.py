"""The attention of a block whose keys and values are kept as they are, head by head.

Other forms stand beside it (``mla``); which one a layer has is chosen when it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.layers.linear import Linear
from sglang.srt.models.decoder_config import DecoderConfig

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch


class Attention(Protocol):
    """What a block does with the hidden states of all tokens."""

    def __call__(self, x: torch.Tensor, batch: ForwardBatch, cache: KVCache) -> torch.Tensor:
        """[T, H] -> [T, heads * values], before the output projection.

        Writes what is to be remembered of the T tokens to ``cache``, the layer's part of the pool.
        """
        ...


@dataclass(frozen=True, slots=True)
class GroupedAttention:
    """Queries in groups that share a head of keys and values (arXiv:2305.13245)."""

    config: DecoderConfig
    kernels: Kernels
    qkv: Linear
    """Queries, keys and values in one product."""
    q_norm: torch.Tensor | None
    """[D] for all heads, or [G, W] for G parts of all queries; so ``k_norm``."""
    k_norm: torch.Tensor | None
    cos_sin: torch.Tensor
    window: int
    variant: AttentionVariant = PLAIN
    temperatures: torch.Tensor | None = None
    """[P] float32: what a query is multiplied with at each position."""

    def __call__(self, x: torch.Tensor, batch: ForwardBatch, cache: KVCache) -> torch.Tensor:
        """[T, H] -> [T, Hq * D]."""
        config, kernels = self.config, self.kernels
        qkv = self.qkv(x)
        normed_in_passing = config.qk_norm in ("head", "rotated")
        if not normed_in_passing and config.qk_norm != "none":
            self._norm_queries_and_keys(qkv)
        if config.qkv_clip:
            kernels.clamp(qkv, config.qkv_clip)
        kernels.rope_and_write_kv(
            qkv,
            batch.positions,
            self.cos_sin,
            cache,
            batch.out_slots,
            num_heads=config.num_heads,
            num_kv_heads=config.num_kv_heads,
            head_dim=config.head_dim,
            q_norm=self.q_norm if normed_in_passing else None,
            k_norm=self.k_norm if normed_in_passing else None,
            norm_eps=config.norm_eps,
            interleaved=config.interleaved_rope,
        )
        q = qkv[:, : config.num_heads * config.head_dim]
        if self.temperatures is not None:
            kernels.scale_rows(q, batch.positions, self.temperatures)
        return kernels.attention(
            q.view(-1, config.num_heads, config.head_dim),
            cache,
            batch.attention,
            scale=config.attention_scale,
            window=self.window,
            softcap=config.attention_softcap,
            variant=self.variant,
        )

    def _norm_queries_and_keys(self, qkv: torch.Tensor) -> None:
        assert self.q_norm is not None
        assert self.k_norm is not None
        eps, centered = self.config.norm_eps, self.config.norm == "layer"
        middle = self.q_norm.numel()
        end = middle + self.k_norm.numel()
        self.kernels.norm_groups(qkv[:, :middle], self.q_norm, eps, centered=centered)
        self.kernels.norm_groups(qkv[:, middle:end], self.k_norm, eps, centered=centered)
