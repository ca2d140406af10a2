"""What the model runner needs of a model. External models implement the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from sglang.srt.model_executor.forward_batch import ForwardBatch


class CausalLM(Protocol):
    """A decoder-only language model whose weights are loaded."""

    num_layers: int
    num_kv_heads: int
    """Key/value heads held by this rank."""
    head_dim: int
    vocab_size: int

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows`` after the final norm.

        Writes K and V of all T tokens to the batch's pool.
        """
        ...

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores [R, V] float32 of the next token for hidden states [R, H]."""
        ...
