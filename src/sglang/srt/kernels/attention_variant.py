"""What some families do to the scores of attention besides scaling them, and to what is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class BlockSparsity:
    """A query sees the blocks of positions near its own and every ``stride``-th of the others.

    Head h sees all of block b from block c on if ``c - b < local_blocks`` or if
    ``(b + h * head_step + 1) % stride == 0`` (the blocks of Phi-3-small, arXiv:2404.14219).
    """

    block_size: int
    local_blocks: int
    stride: int
    head_step: int = 0
    """0: all heads have one pattern."""

    def __post_init__(self) -> None:
        if min(self.block_size, self.local_blocks, self.stride) < 1 or self.head_step < 0:
            raise ValueError(f"sizes of block-sparse attention must be at least 1, got {self}")


@dataclass(frozen=True, slots=True, eq=False)
class AttentionVariant:
    """The parts of ``Kernels.attention`` that few families have. Without any: plain attention."""

    chunk: int = 0
    """> 0: a query at position p sees nothing before ``p - p % chunk`` (Llama 4)."""
    slopes: torch.Tensor | None = None
    """[Hq] float32, contiguous: the score of a position n before the query falls by n * slope
    (ALiBi, arXiv:2108.12409)."""
    sinks: torch.Tensor | None = None
    """[Hq] float32, contiguous: one more score in the sum that the softmax divides by, without a
    value (attention sinks, arXiv:2309.17453, as gpt-oss learns them)."""
    sparsity: BlockSparsity | None = None


PLAIN = AttentionVariant()


def alibi_slopes(num_heads: int, largest: float = 8.0) -> torch.Tensor:
    """The slopes [num_heads] of ALiBi: 2^(-largest / n), its square and so on, for n heads.

    Where n is no power of two: those of the power below, then every other one of the power above.
    """
    above = 1 << math.ceil(math.log2(num_heads))
    exponents = torch.arange(1, above + 1, dtype=torch.float64) * (largest / above)
    if above != num_heads:
        exponents = torch.cat((exponents[1::2], exponents[::2]))[:num_heads]
    return torch.exp2(-exponents).float()


def unseen(
    query: torch.Tensor, key: torch.Tensor, window: int, variant: AttentionVariant, num_heads: int
) -> torch.Tensor:
    """Which positions ``key`` [K] queries at ``query`` [Q] do not see: [Hq or 1, Q, K] bool."""
    query = query.unsqueeze(1)
    hidden = key > query
    if window > 0:
        hidden = hidden | (key <= query - window)
    if variant.chunk > 0:
        hidden = hidden | (key < query - query % variant.chunk)
    sparsity = variant.sparsity
    if sparsity is None:
        return hidden.unsqueeze(0)
    block, size = key // sparsity.block_size, sparsity.block_size
    head = torch.arange(num_heads, device=key.device).unsqueeze(1)
    striped = (block + head * sparsity.head_step + 1) % sparsity.stride == 0
    near = query // size - block < sparsity.local_blocks
    return hidden | ~(near | striped.unsqueeze(1))
