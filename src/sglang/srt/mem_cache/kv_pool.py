"""Storage of keys and values: one slot a token, in every layer."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sglang.srt.kernels.kv_cache import KVCache, bytes_per_head, latent_cache


class KVPool:
    """K and V of ``num_slots`` tokens; ``layers`` are what the kernels write and read.

    Who owns which slot is not known here (see ``slot_allocator``). On a CPU the memory is only
    committed by the kernel when a slot is first written.
    """

    def __init__(
        self,
        num_layers: int,
        num_slots: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        allocate: Callable[[tuple[int, ...], torch.dtype], torch.Tensor],
        latent_dim: int = 0,
    ) -> None:
        """``dtype`` is that of the elements, one that ``KVCache`` knows.

        ``allocate(shape, dtype)`` gives uninitialised memory on the model's device.
        ``latent_dim``: see ``models.interface.Transformer``.
        """
        shape = (num_slots, num_kv_heads, head_dim)
        self.num_slots = num_slots
        self.dtype = dtype
        self.slot_bytes = self.bytes_per_slot(num_layers, num_kv_heads, head_dim, dtype, latent_dim)
        """Of one slot over all layers."""
        self.layers: list[KVCache] = []
        for _ in range(num_layers):
            if latent_dim:
                scale = allocate(shape[:2], torch.float32) if dtype == torch.int8 else None
                self.layers.append(latent_cache(allocate(shape, dtype), latent_dim, scale))
                continue
            k, v = allocate(shape, dtype), allocate(shape, dtype)
            if dtype == torch.int8:
                scales = allocate(shape[:2], torch.float32), allocate(shape[:2], torch.float32)
                self.layers.append(KVCache(k, v, *scales))
            else:
                self.layers.append(KVCache(k, v))

    def tensors(self) -> list[torch.Tensor]:
        """All of the memory, each with one row a slot."""
        parts = ((layer.k, layer.v, layer.k_scale, layer.v_scale) for layer in self.layers)
        return [part for layer in parts for part in layer if part is not None]

    @staticmethod
    def bytes_per_slot(
        num_layers: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype, latent_dim: int = 0
    ) -> int:
        """Memory that one token takes over all layers."""
        kept = 1 if latent_dim else 2
        return kept * num_layers * num_kv_heads * bytes_per_head(head_dim, dtype)
