"""The one ragged batch that a forward pass receives.

Prefill chunks and decode tokens are the same thing here: sequence ``b`` brings ``q_len[b]``
new tokens (1 for decode, n for a prefill chunk, k for speculative verification) that sit at
the end of its ``kv_len[b]`` tokens. Everything is flat; nothing is padded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from sglang.srt.mem_cache.kv_pool import KVPool


@dataclass(slots=True)
class AttentionMeta:
    """Which tokens each sequence attends to.

    The slot of token ``j`` of sequence ``b`` is ``kv_slots[kv_start[b] + j]``, for
    ``0 <= j < kv_len[b]``. ``kv_slots`` is the flattened slot table of the running requests
    (one fixed-width row each), so that a decode step copies no index lists.

    Query token ``i`` (``q_indptr[b] <= i < q_indptr[b+1]``) has position
    ``kv_len[b] - (q_indptr[b+1] - i)`` and sees the tokens at or before that position.
    """

    q_indptr: torch.Tensor
    """[B+1] int32."""
    kv_slots: torch.Tensor
    """[rows * width] int32, the flattened slot table."""
    kv_start: torch.Tensor
    """[B] int64, offset of each sequence's row in ``kv_slots``."""
    kv_len: torch.Tensor
    """[B] int32, tokens of the sequence, the new ones included."""
    max_q_len: int
    max_kv_len: int


@dataclass(slots=True)
class PlacedEmbeds:
    """Vectors that stand in for the embeddings of some tokens of a batch."""

    rows: torch.Tensor
    """[M] int64, of the T tokens."""
    values: torch.Tensor
    """[M, H] float32."""


@dataclass(slots=True)
class ForwardBatch:
    """Input of one forward pass over T new tokens of B sequences."""

    input_ids: torch.Tensor
    """[T] int64."""
    positions: torch.Tensor
    """[T] int32, position of each token in its sequence."""
    out_slots: torch.Tensor
    """[T] int32, slot where each token's K and V are written."""
    attention: AttentionMeta
    logits_rows: torch.Tensor
    """[R] int64, the rows of T whose logits are wanted."""
    kv_pool: KVPool
    embeds: PlacedEmbeds | None = None

    def to(self, device: torch.device) -> ForwardBatch:
        """The same with its inputs on ``device`` (the pool is there already)."""
        if self.input_ids.device == device:
            return self
        meta, embeds = self.attention, self.embeds
        if embeds is not None:
            embeds = PlacedEmbeds(embeds.rows.to(device), embeds.values.to(device))
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            positions=self.positions.to(device),
            out_slots=self.out_slots.to(device),
            attention=replace(
                meta,
                q_indptr=meta.q_indptr.to(device),
                kv_slots=meta.kv_slots.to(device),
                kv_start=meta.kv_start.to(device),
                kv_len=meta.kv_len.to(device),
            ),
            logits_rows=self.logits_rows.to(device),
            embeds=embeds,
        )
