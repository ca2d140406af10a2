"""The KV cache of one layer, its element types, and how they are written and read in torch.

Besides the dtype of the activations there are types of half the size or less:

* fp8 (e5m2 or e4m3, after Micikevicius et al. 2022), without a scale: rounded to the nearest even
  number, and what is too large becomes the largest one;
* int8 with one float32 scale per token and head: value = scale * element, where the scale makes
  127 of the head's largest magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

KV_CACHE_DTYPES = {
    "fp8_e5m2": torch.float8_e5m2,
    "fp8_e4m3": torch.float8_e4m3fn,
    "int8": torch.int8,
}
"""What ``--kv-cache-dtype`` calls the types of one byte."""

LARGEST = {torch.float8_e5m2: 57344.0, torch.float8_e4m3fn: 448.0, torch.int8: 127.0}


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of S slots: contiguous [S, Hk, D], of the activations' dtype or another.

    Or latent rows, see ``latent_cache``.
    """

    k: torch.Tensor
    v: torch.Tensor
    k_scale: torch.Tensor | None = None
    """Of int8 only: contiguous [S, Hk] float32. Likewise ``v_scale``."""
    v_scale: torch.Tensor | None = None


def latent_cache(rows: torch.Tensor, value_dim: int, scale: torch.Tensor | None = None) -> KVCache:
    """The cache of multi-head latent attention over ``rows`` [S, 1, D], contiguous.

    A key is a whole row and its value the first ``value_dim`` numbers of it, for all query heads
    (DeepSeek-V2, arXiv:2405.04434). ``scale`` [S, 1] for int8.
    """
    return KVCache(rows, rows[..., :value_dim], scale, scale)


def bytes_per_head(head_dim: int, dtype: torch.dtype) -> int:
    """Memory of one token's key, or value, in one head."""
    scale = torch.float32.itemsize if dtype == torch.int8 else 0
    return head_dim * dtype.itemsize + scale


def write_kv(cache: KVCache, slots: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """Store ``k`` and ``v`` [T, Hk, D] at ``slots`` [T] int64."""
    _write(cache.k, cache.k_scale, slots, k)
    _write(cache.v, cache.v_scale, slots, v)


def write_latent(cache: KVCache, slots: torch.Tensor, rows: torch.Tensor) -> None:
    """Store ``rows`` [T, 1, D] at ``slots`` [T] int64 of a ``latent_cache``."""
    _write(cache.k, cache.k_scale, slots, rows)


def _write(
    place: torch.Tensor, scales: torch.Tensor | None, slots: torch.Tensor, values: torch.Tensor
) -> None:
    if scales is not None:
        elements, scales[slots] = quantize_int8(values)
    elif place.dtype in LARGEST:
        largest = LARGEST[place.dtype]
        elements = values.float().clamp(-largest, largest).to(place.dtype)
    else:
        elements = values.to(place.dtype)
    # Indexing does not know the fp8 types.
    _indexable(place)[slots] = _indexable(elements)


def read_kv(cache: KVCache, slots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values [T, Hk, D] float32 of ``slots`` [T] int64."""
    k, v = (
        _indexable(place)[slots].view(place.dtype).float()
        if scales is None
        else place[slots].float() * scales[slots].unsqueeze(-1)
        for place, scales in ((cache.k, cache.k_scale), (cache.v, cache.v_scale))
    )
    return k, v


def quantize_int8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Elements [..., D] int8 and scales [...] float32 of ``x``; all 0 where ``x`` is."""
    wide = x.float()
    largest = wide.abs().amax(dim=-1, keepdim=True)
    factor = (wide.new_tensor(127.0) / largest).where(largest > 0, 0.0)
    return (wide * factor).round().to(torch.int8), (largest / 127.0).squeeze(-1)


def _indexable(x: torch.Tensor) -> torch.Tensor:
    return x.view(torch.uint8) if x.dtype.itemsize == 1 else x
