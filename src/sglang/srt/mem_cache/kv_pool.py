"""Storage of keys and values: one slot a token, in every layer."""

from __future__ import annotations

from collections.abc import Callable

import torch


class KVPool:
    """K and V of ``num_slots`` tokens.

    ``k[layer]`` and ``v[layer]`` have shape [num_slots, num_kv_heads, head_dim] and are
    contiguous. Who owns which slot is not known here (see ``slot_allocator``). On a CPU the
    memory is only committed by the kernel when a slot is first written.
    """

    def __init__(
        self,
        num_layers: int,
        num_slots: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        allocate: Callable[[tuple[int, ...], torch.dtype], torch.Tensor],
    ) -> None:
        """``allocate(shape, dtype)`` gives uninitialised memory on the model's device."""
        shape = (num_slots, num_kv_heads, head_dim)
        self.num_slots = num_slots
        self.dtype = dtype
        self.k = [allocate(shape, dtype) for _ in range(num_layers)]
        self.v = [allocate(shape, dtype) for _ in range(num_layers)]

    @staticmethod
    def bytes_per_slot(
        num_layers: int, num_kv_heads: int, head_dim: int, dtype: torch.dtype
    ) -> int:
        """Memory that one token takes over all layers."""
        return 2 * num_layers * num_kv_heads * head_dim * dtype.itemsize
