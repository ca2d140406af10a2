"""The one decoder. A family is a page beside it that maps its configuration onto this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.kernels.interface import Kernels
from sglang.srt.layers.embedding import Embedding, LMHead
from sglang.srt.layers.quantization import quantization_named
from sglang.srt.layers.rotary import rotary_table
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.decoder_weights import (
    DecoderLayer,
    DecoderNames,
    load_embeddings,
    load_layer,
)

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch


class Decoder:
    """Implements ``interface.CausalLM``; subclasses say how to read a family's configuration."""

    names: ClassVar[DecoderNames] = DecoderNames()
    supports_quantization: ClassVar[bool] = True
    supports_input_embeds: ClassVar[bool] = True

    @staticmethod
    def parse_config(config: Mapping[str, Any]) -> DecoderConfig:
        """Map a family's ``config.json`` (its text part)."""
        raise NotImplementedError

    @classmethod
    def from_checkpoint(
        cls,
        config: ModelConfig,
        reader: WeightReader,
        kernels: Kernels,
    ) -> Decoder:
        """Build the model layer by layer from what ``reader`` reads onto its device."""
        facts = cls.parse_config(config.text_config)
        quantization = quantization_named(config.quantization)
        layer_scheme = quantization.layers if quantization else None
        head_scheme = quantization.head if quantization else None
        names, lm_head = cls.names, None
        if config.is_generation:
            table, head = load_embeddings(facts, names, reader)
            lm_head = LMHead(kernels, head, head_scheme)
        else:
            if not reader.has(names.embedding):
                names = names.without_prefix()
            table = reader.read(TensorSpec(names.embedding, (facts.vocab_size, facts.hidden_size)))
            reader.ignore(names.lm_head)
        layers = [
            load_layer(facts, names, reader, kernels, index, layer_scheme)
            for index in range(facts.num_layers)
        ]
        return cls(
            facts,
            embedding=Embedding(kernels, table),
            layers=layers,
            final_norm=reader.read(TensorSpec(names.final_norm, (facts.hidden_size,))),
            lm_head=lm_head,
            cos_sin=rotary_table(facts.rope, config.context_length, reader.device),
            kernels=kernels,
        )

    def __init__(
        self,
        config: DecoderConfig,
        *,
        embedding: Embedding,
        layers: Sequence[DecoderLayer],
        final_norm: torch.Tensor,
        lm_head: LMHead | None,
        cos_sin: torch.Tensor,
        kernels: Kernels,
    ) -> None:
        """``lm_head`` None: for a decoder that is asked for hidden states only."""
        self.config = config
        self.num_layers = config.num_layers
        self.num_heads = config.num_heads
        self.num_kv_heads = config.num_kv_heads
        self.head_dim = config.head_dim
        self.vocab_size = config.vocab_size
        self._embedding = embedding
        self._layers = layers
        # The norm after a block is the input norm of the next one, or the final norm.
        self._next_norms = [*(layer.input_norm for layer in layers[1:]), final_norm]
        self._lm_head = lm_head
        self._cos_sin = cos_sin
        self._kernels = kernels

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows`` after the final norm.

        Writes K and V of all T tokens to the batch's pool.
        """
        kernels, eps = self._kernels, self.config.norm_eps
        residual = self._embedding(batch.input_ids)
        if batch.embeds is not None:
            residual[batch.embeds.rows] = batch.embeds.values.to(residual.dtype)
        x = kernels.rms_norm(residual, self._layers[0].input_norm, eps)
        for index, layer in enumerate(self._layers):
            attended = self._attention(layer, index, x, batch)
            if index == self.num_layers - 1:
                # Nothing reads the other rows any more.
                attended = kernels.gather_rows(attended, batch.logits_rows)
                residual = kernels.gather_rows(residual, batch.logits_rows)
                if not len(residual):
                    return residual
            x = layer.o(attended)
            x = kernels.add_rms_norm(x, residual, layer.post_norm, eps)
            x = layer.down(kernels.silu_and_mul(layer.gate_up(x)))
            x = kernels.add_rms_norm(x, residual, self._next_norms[index], eps)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores [R, V] float32 of the next token for hidden states [R, H]."""
        assert self._lm_head is not None
        return self._lm_head(hidden)

    def _attention(
        self, layer: DecoderLayer, index: int, x: torch.Tensor, batch: ForwardBatch
    ) -> torch.Tensor:
        """[T, H] -> [T, Hq * D], before the output projection."""
        cache = batch.kv_pool.layers[index]
        qkv = layer.qkv(x)
        self._kernels.rope_and_write_kv(
            qkv,
            batch.positions,
            self._cos_sin,
            cache,
            batch.out_slots,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            q_norm=layer.q_norm,
            k_norm=layer.k_norm,
            norm_eps=self.config.norm_eps,
            interleaved=False,
        )
        q = qkv[:, : self.num_heads * self.head_dim].view(-1, self.num_heads, self.head_dim)
        return self._kernels.attention(
            q,
            cache,
            batch.attention,
            scale=self.head_dim**-0.5,
            window=layer.window,
            softcap=0.0,
        )
