"""The one decoder. A family is a page beside it that maps its configuration onto this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import ModelConfig
from sglang.srt.kernels.interface import Kernels
from sglang.srt.layers.embedding import Embedding, LMHead
from sglang.srt.layers.norm import Norm
from sglang.srt.layers.quantization import quantization_named
from sglang.srt.layers.rotary import rotary_table
from sglang.srt.model_loader.weights import WeightReader
from sglang.srt.models.decoder_blocks import BLOCK_FORMS
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.decoder_weights import DecoderLayer, DecoderNames, DecoderReader

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
    def checkpoint_names(cls, reader: WeightReader) -> DecoderNames:
        """The names in this checkpoint; a family overrides it whose files have several."""
        return cls.names

    @classmethod
    def from_checkpoint(
        cls,
        config: ModelConfig,
        reader: WeightReader,
        kernels: Kernels,
    ) -> Decoder:
        """Build the model layer by layer from what ``reader`` reads onto its device."""
        facts = cls.parse_config(config.text_config)
        if 0 < facts.num_positions < config.context_length:
            raise ModelLoadError(
                f"context_length {config.context_length} is above the {facts.num_positions} "
                "positions that the model learned"
            )
        quantization = quantization_named(config.quantization)
        names, lm_head = cls.checkpoint_names(reader), None
        if not reader.has(names.embedding) and reader.has(names.without_prefix().embedding):
            names = names.without_prefix()
        weights = DecoderReader(
            facts, names, reader, kernels, quantization.layers if quantization else None
        )
        if config.is_generation:
            table, head = weights.embeddings()
            scheme = quantization.head if quantization else None
            lm_head = LMHead(kernels, head, scheme, weights.head_bias())
        else:
            table = weights.embedding_alone()
        weights.ignore_predictors(int(config.text_config.get("num_nextn_predict_layers") or 0))
        positions = weights.positions()
        tables = {
            rope: rotary_table(rope, config.context_length, reader.device)
            if rope is not None
            else torch.empty(config.context_length, 0, device=reader.device)
            for rope in set(facts.ropes)
        }
        return cls(
            facts,
            embedding=Embedding(kernels, table),
            positions=None if positions is None else Embedding(kernels, positions),
            layers=[weights.layer(index, tables) for index in range(facts.num_layers)],
            final_norm=weights.norm(names.final_norm),
            lm_head=lm_head,
            kernels=kernels,
        )

    def __init__(
        self,
        config: DecoderConfig,
        *,
        embedding: Embedding,
        positions: Embedding | None,
        layers: Sequence[DecoderLayer],
        final_norm: Norm,
        lm_head: LMHead | None,
        kernels: Kernels,
    ) -> None:
        """``lm_head`` None: for a decoder that is asked for hidden states only."""
        self.config = config
        self.num_layers = config.num_layers
        self.num_heads = config.num_heads
        self.num_kv_heads = config.num_kv_heads
        self.head_dim = config.head_dim
        self.latent_dim = config.mla.latent_dim if config.mla else 0
        self.vocab_size = config.vocab_size
        self._embedding = embedding
        self._positions = positions
        self._layers = layers
        # The norm after a block is the input norm of the next one, or the final norm.
        self._next_norms = [*(layer.input_norm for layer in layers[1:]), final_norm]
        self._block = BLOCK_FORMS[config.block]
        self._lm_head = lm_head
        self._kernels = kernels

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows`` after the final norm.

        Writes K and V of all T tokens to the batch's pool.
        """
        gather, scale = self._kernels.gather_rows, self.config.residual_multiplier
        residual = self._embed(batch)
        x = self._layers[0].input_norm(residual)
        for index, layer in enumerate(self._layers):
            attended = layer.attention(x, batch, batch.kv_pool.layers[index])
            if index == self.num_layers - 1:
                # Nothing reads the other rows any more.
                attended = gather(attended, batch.logits_rows)
                residual = gather(residual, batch.logits_rows)
                if not len(residual):
                    return residual
                if self.config.block == "parallel":
                    x = layer.input_norm(residual)
            x = self._block(layer, attended, x, residual, self._next_norms[index], scale)
        return x

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores [R, V] float32 of the next token for hidden states [R, H]."""
        assert self._lm_head is not None
        scores, cap = self._lm_head(hidden), self.config.logit_softcap
        if self.config.logit_multiplier != 1:
            scores *= self.config.logit_multiplier
        if cap:
            scores.div_(cap).tanh_().mul_(cap)
        if self.config.masked_tokens:
            scores[:, list(self.config.masked_tokens)] = torch.finfo(scores.dtype).min
        return scores

    def _embed(self, batch: ForwardBatch) -> torch.Tensor:
        """What the tokens are at first, [T, H]."""
        residual = self._embedding(batch.input_ids)
        if batch.embeds is not None:
            residual[batch.embeds.rows] = batch.embeds.values.to(residual.dtype)
        if self._positions is not None:
            self._kernels.add_scaled(self._positions(batch.positions), residual)
        return residual
