"""Ragged batches over a paged cache with scattered slots, for the attention tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KVCache, write_kv
from sglang.srt.model_executor.forward_batch import AttentionMeta


@dataclass
class Case:
    """Sequence b has kv_lens[b] tokens, of which the last q_lens[b] are queries."""

    q: torch.Tensor
    cache: KVCache
    slot_rows: list[torch.Tensor]
    q_lens: list[int]

    def run(
        self,
        kernels: Kernels,
        *,
        window: int = 0,
        softcap: float = 0.0,
        scale: float | None = None,
        variant: AttentionVariant = PLAIN,
    ) -> torch.Tensor:
        meta = make_meta(self.q_lens, self.slot_rows, self.q.device)
        return kernels.attention(
            self.q,
            self.cache,
            meta,
            scale=self.q.shape[-1] ** -0.5 if scale is None else scale,
            window=window,
            softcap=softcap,
            variant=variant,
        )


def make_meta(
    q_lens: list[int], slot_rows: list[torch.Tensor], device: torch.device | str = "cpu"
) -> AttentionMeta:
    """Rows of a slot table of fixed width, in reverse order and padded with wrong slots."""
    width = max(len(row) for row in slot_rows) + 3
    table = torch.full((len(slot_rows), width), 2**30, dtype=torch.int32)
    starts = torch.zeros(len(slot_rows), dtype=torch.int64)
    for b, row in enumerate(slot_rows):
        place = len(slot_rows) - 1 - b
        table[place, : len(row)] = row
        starts[b] = place * width
    indptr = torch.tensor([0, *q_lens]).cumsum(0).int()
    return AttentionMeta(
        q_indptr=indptr.to(device),
        kv_slots=table.flatten().to(device),
        kv_start=starts.to(device),
        kv_len=torch.tensor([len(row) for row in slot_rows], dtype=torch.int32, device=device),
        max_q_len=max(q_lens),
        max_kv_len=max(len(row) for row in slot_rows),
    )


def make_cache(num_slots: int, num_kv_heads: int, head_dim: int, kv_dtype: torch.dtype) -> KVCache:
    """All NaN: a kernel that reads what was not written is found out."""
    shape = (num_slots, num_kv_heads, head_dim)
    if kv_dtype == torch.int8:
        k, v = torch.ones(2, *shape, dtype=torch.int8)
        return KVCache(k, v, *torch.full((2, num_slots, num_kv_heads), torch.nan))
    k, v = torch.full((2, *shape), torch.nan).to(kv_dtype)
    return KVCache(k, v)


def moved(cache: KVCache, order: torch.Tensor) -> KVCache:
    """Slot i holds what slot ``order[i]`` of ``cache`` does."""

    def pick(x: torch.Tensor) -> torch.Tensor:
        return x.view(torch.uint8)[order].view(x.dtype) if x.itemsize == 1 else x[order]

    scales = (x if x is None else pick(x) for x in (cache.k_scale, cache.v_scale))
    return KVCache(pick(cache.k), pick(cache.v), *scales)


def make_case(
    q_lens: list[int],
    kv_lens: list[int],
    *,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    head_dim: int = 64,
    dtype: torch.dtype = torch.float32,
    kv_dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Case:
    """``kv_dtype`` is that of the cache, ``dtype`` unless it is given."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(kv_lens)
    num_slots = total + 17
    slots = torch.randperm(num_slots, generator=generator)[:total].int()
    cache = make_cache(num_slots, num_kv_heads, head_dim, kv_dtype or dtype)
    k, v = torch.randn(2, total, num_kv_heads, head_dim, generator=generator).to(dtype)
    write_kv(cache, slots.long(), k, v)
    fused = torch.randn(sum(q_lens), (num_heads + 2) * head_dim, generator=generator).to(dtype)
    q = fused[:, : num_heads * head_dim].unflatten(1, (num_heads, head_dim))
    return Case(q, cache, list(slots.split(kv_lens)), q_lens)
