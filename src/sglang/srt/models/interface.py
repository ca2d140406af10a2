"""What the model runner needs of a model. External models implement the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from sglang.srt.configs.pooling_config import Pooling
    from sglang.srt.model_executor.forward_batch import ForwardBatch


class Transformer(Protocol):
    """Layers whose weights are loaded: tokens in, hidden states out."""

    num_layers: int
    num_kv_heads: int
    """Key/value heads held by this rank."""
    head_dim: int
    latent_dim: int
    """0, or how many of the ``head_dim`` numbers of a key are its value, so that keys alone are
    kept (multi-head latent attention). A model without this attribute has 0."""
    vocab_size: int

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows`` after the final norm.

        Writes K and V of all T tokens to the batch's pool.
        """
        ...


class CausalLM(Transformer, Protocol):
    """A decoder-only language model."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores [R, V] float32 of the next token for hidden states [R, H]."""
        ...


class PooledModel(Protocol):
    """A model that makes its answer of pooled hidden states: an embedding, or scores."""

    transformer: Transformer
    pooling: Pooling

    def answer(self, pooled: torch.Tensor) -> torch.Tensor:
        """Embeddings or scores [R, E] float32 for pooled hidden states [R, H] float32."""
        ...
