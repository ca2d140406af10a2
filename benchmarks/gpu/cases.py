"""What the checks of kernels have in common: sizes, cases, caches and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import KVCache, write_kv
from sglang.srt.model_executor.forward_batch import AttentionMeta


@dataclass(frozen=True)
class Sizes:
    """How large the cases are."""

    tokens: int = 4096
    hidden: int = 4096
    inner: int = 14336
    vocab: int = 128256
    kv_len: int = 4096
    batch: int = 64


TINY = Sizes(tokens=5, hidden=64, inner=96, vocab=500, kv_len=70, batch=2)


@dataclass(frozen=True)
class Case:
    """``run`` gives the results of some kernels, all of which are compared."""

    name: str
    run: Callable[[Kernels], list[torch.Tensor]]
    bytes_moved: float = 0.0
    operations: float = 0.0
    tolerance: float = 1.0
    """A multiple of the usual one."""


def randn(*shape: int, device: str, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(*shape, device=device).to(dtype)


def make_cache(slots: int, heads: int, dim: int, dtype: torch.dtype, device: str) -> KVCache:
    k, v = (torch.zeros(slots, heads, dim, device=device).to(dtype) for _ in range(2))
    scales = (torch.zeros(slots, heads, device=device) for _ in range(2))
    cache = KVCache(k, v, *scales) if dtype == torch.int8 else KVCache(k, v)
    step = 1 << 16
    for start in range(0, slots, step):
        rows = torch.arange(start, min(start + step, slots), device=device)
        new_k, new_v = (torch.randn(len(rows), heads, dim, device=device) for _ in range(2))
        write_kv(cache, rows, new_k, new_v)
    return cache


def make_meta(q_lens: list[int], kv_lens: list[int], device: str) -> AttentionMeta:
    """Sequences whose slots are scattered over a pool of ``sum(kv_lens)``."""
    slots = torch.randperm(sum(kv_lens), device=device).int()
    starts = torch.tensor([0, *kv_lens[:-1]], device=device).cumsum(0)
    indptr = torch.tensor([0, *q_lens], device=device).cumsum(0).int()
    lengths = torch.tensor(kv_lens, dtype=torch.int32, device=device)
    return AttentionMeta(indptr, slots, starts, lengths, max(q_lens), max(kv_lens))


def attend(
    q: torch.Tensor,
    cache: KVCache,
    meta: AttentionMeta,
    options: dict[str, Any],
    kernels: Kernels,
) -> list[torch.Tensor]:
    """The result of attention; ``options`` are arguments of it that are not as usual."""
    usual = {"scale": q.shape[2] ** -0.5, "window": 0, "softcap": 0.0}
    return [kernels.attention(q, cache, meta, **{**usual, **options})]


def query_pairs(q_lens: list[int], kv_lens: list[int]) -> float:
    """How many (query, key) pairs there are.

    A query of n in a sequence of kv sees (kv - n) + (n + 1) / 2 keys on average.
    """
    return sum(n * (kv - n) + n * (n + 1) / 2 for n, kv in zip(q_lens, kv_lens, strict=True))
