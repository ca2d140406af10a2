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
        names, lm_head = cls.names, None
        if not reader.has(names.embedding) and reader.has(names.without_prefix().embedding):
            names = names.without_prefix()
        weights = DecoderReader(
            facts, names, reader, kernels, quantization.layers if quantization else None
        )
        if config.is_generation:
            table, head = weights.embeddings()
            lm_head = LMHead(kernels, head, quantization.head if quantization else None)
        else:
            table = weights.embedding_alone()
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
            attended = self._attention(layer, index, x, batch)
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
        return scores.div_(cap).tanh_().mul_(cap) if cap else scores

    def _embed(self, batch: ForwardBatch) -> torch.Tensor:
        """What the tokens are at first, [T, H]."""
        residual = self._embedding(batch.input_ids)
        if batch.embeds is not None:
            residual[batch.embeds.rows] = batch.embeds.values.to(residual.dtype)
        if self._positions is not None:
            self._kernels.add_scaled(self._positions(batch.positions), residual)
        return residual

    def _attention(
        self, layer: DecoderLayer, index: int, x: torch.Tensor, batch: ForwardBatch
    ) -> torch.Tensor:
        """[T, H] -> [T, Hq * D], before the output projection."""
        config, kernels = self.config, self._kernels
        cache = batch.kv_pool.layers[index]
        qkv = layer.qkv(x)
        if config.qkv_clip:
            kernels.clamp(qkv, config.qkv_clip)
        normed_in_passing = config.qk_norm == "head"
        if not normed_in_passing and config.qk_norm != "none":
            self._norm_queries_and_keys(layer, qkv)
        kernels.rope_and_write_kv(
            qkv,
            batch.positions,
            layer.cos_sin,
            cache,
            batch.out_slots,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            q_norm=layer.q_norm if normed_in_passing else None,
            k_norm=layer.k_norm if normed_in_passing else None,
            norm_eps=config.norm_eps,
            interleaved=config.interleaved_rope,
        )
        q = qkv[:, : self.num_heads * self.head_dim].view(-1, self.num_heads, self.head_dim)
        return kernels.attention(
            q,
            cache,
            batch.attention,
            scale=config.attention_scale,
            window=layer.window,
            softcap=config.attention_softcap,
        )

    def _norm_queries_and_keys(self, layer: DecoderLayer, qkv: torch.Tensor) -> None:
        assert layer.q_norm is not None
        assert layer.k_norm is not None
        eps, centered = self.config.norm_eps, self.config.norm == "layer"
        middle = layer.q_norm.numel()
        end = middle + layer.k_norm.numel()
        self._kernels.norm_groups(qkv[:, :middle], layer.q_norm, eps, centered=centered)
        self._kernels.norm_groups(qkv[:, middle:end], layer.k_norm, eps, centered=centered)
