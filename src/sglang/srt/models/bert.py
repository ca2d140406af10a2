"""BERT and RoBERTa: encoders, whose tokens see the whole text.

Devlin et al., arXiv:1810.04805; Liu et al., arXiv:1907.11692.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional as F

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import (
    ModelConfig,
    num_reserved_positions,
    positive_float,
    positive_int,
)
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.norm import LayerNorm
from sglang.srt.layers.quantization import quantization_named
from sglang.srt.model_loader.weights import TensorSpec, WeightReader

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch

Activation = Callable[[torch.Tensor], torch.Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True)
class BertLayer:
    """The weights of one block; norms come after the residual sums."""

    qkv: Linear
    attention_out: Linear
    attention_norm: LayerNorm
    inner: Linear
    outer: Linear
    norm: LayerNorm


class BertModel:
    """Implements ``interface.Transformer`` for batches of whole texts; no KV cache is used."""

    prefix: ClassVar[str] = "bert."
    """Of the names in checkpoints that hold more than the encoder."""

    @staticmethod
    def first_position(config: Mapping[str, Any]) -> int:
        """The row of the position table that belongs to the first token."""
        return 0

    @classmethod
    def from_checkpoint(
        cls, config: ModelConfig, reader: WeightReader, kernels: Kernels
    ) -> BertModel:
        """Read all but the pooling layer, which embeddings do without.

        Raises ModelLoadError for missing tensors and for variants that are not implemented.
        """
        facts = config.text_config
        num_positions = positive_int(facts, "max_position_embeddings", 512)
        first = cls.first_position(facts)
        if config.context_length > num_positions - first:
            raise ModelLoadError(
                f"context_length is {config.context_length}; the model has "
                f"{num_positions - first} positions"
            )
        if facts.get("position_embedding_type", "absolute") != "absolute":
            raise ModelLoadError("config.json: relative positions are not implemented yet")
        if facts.get("hidden_act", "gelu") not in _ACTIVATIONS:
            raise ModelLoadError(
                f"config.json: hidden_act {facts['hidden_act']!r} is not implemented yet"
            )
        tensors = _Tensors(config, reader, kernels, cls.prefix)
        tables = {
            "word_embeddings": config.vocab_size,
            "position_embeddings": num_positions,
            "token_type_embeddings": positive_int(facts, "type_vocab_size", 2),
        }
        return cls(
            tables=[tensors.table(f"embeddings.{name}", n) for name, n in tables.items()],
            first_position=first,
            norm=tensors.norm("embeddings.LayerNorm"),
            layers=[
                tensors.layer(index) for index in range(positive_int(facts, "num_hidden_layers"))
            ],
            num_heads=positive_int(facts, "num_attention_heads"),
            activation=_ACTIVATIONS[facts.get("hidden_act", "gelu")],
            kernels=kernels,
        )

    def __init__(
        self,
        *,
        tables: Sequence[torch.Tensor],
        first_position: int,
        norm: LayerNorm,
        layers: Sequence[BertLayer],
        num_heads: int,
        activation: Activation,
        kernels: Kernels,
    ) -> None:
        """``tables`` are those of words, positions and token types."""
        self._words, positions, types = tables
        self._positions = positions[first_position:]
        self._type = types[0]  # every text is a first one
        self._norm = norm
        self._layers = layers
        self._activation = activation
        self._kernels = kernels
        self.num_layers = len(layers)
        self.num_heads = self.num_kv_heads = num_heads
        self.head_dim = self._words.shape[1] // num_heads
        self.vocab_size = self._words.shape[0]

    def forward(self, batch: ForwardBatch) -> torch.Tensor:
        """Hidden states [R, H] of ``batch.logits_rows``; every sequence is there as a whole."""
        kernels = self._kernels
        x = kernels.gather_rows(self._words, batch.input_ids)
        x += kernels.gather_rows(self._positions, batch.positions.long())
        x = self._norm(x + self._type)
        bounds = batch.attention.q_indptr.tolist()
        for layer in self._layers:
            attended = self._attention(layer.qkv(x), bounds)
            x = layer.attention_norm(x + layer.attention_out(attended))
            x = layer.norm(x + layer.outer(self._activation(layer.inner(x))))
        return kernels.gather_rows(x, batch.logits_rows)

    def _attention(self, qkv: torch.Tensor, bounds: Sequence[int]) -> torch.Tensor:
        """[T, 3 * H] -> [T, H]: each sequence attends to all of itself."""
        out = torch.empty_like(qkv[:, : qkv.shape[1] // 3])
        for start, end in pairwise(bounds):
            heads = qkv[start:end].view(end - start, 3, self.num_heads, self.head_dim)
            q, k, v = heads.permute(1, 2, 0, 3).unsqueeze(1).unbind(0)
            attended = F.scaled_dot_product_attention(q, k, v)
            out[start:end] = attended[0].transpose(0, 1).flatten(1)
        return out


class RobertaModel(BertModel):
    """The same with the positions counted from behind that of the padding; also XLM-RoBERTa."""

    prefix = "roberta."

    @staticmethod
    def first_position(config: Mapping[str, Any]) -> int:
        return num_reserved_positions(config)


class _Tensors:
    """Reads the parts of a BERT checkpoint, which may have a prefix or none."""

    def __init__(
        self, config: ModelConfig, reader: WeightReader, kernels: Kernels, prefix: str
    ) -> None:
        facts = config.text_config
        quantization = quantization_named(config.quantization)
        self._scheme: WeightScheme | None = quantization.layers if quantization else None
        self._reader = reader
        self._kernels = kernels
        has_prefix = reader.has(f"{prefix}embeddings.word_embeddings.weight")
        self._prefix = prefix if has_prefix else ""
        self._size = config.hidden_size
        self._inner = positive_int(facts, "intermediate_size")
        self._eps = positive_float(facts, "layer_norm_eps", 1e-12)
        if self._size % positive_int(facts, "num_attention_heads"):
            raise ModelLoadError(
                f"config.json: hidden_size {self._size} is no multiple of num_attention_heads"
            )
        for name in ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids"):
            reader.ignore(self._prefix + name)

    def table(self, name: str, rows: int) -> torch.Tensor:
        return self._reader.read(TensorSpec(f"{self._prefix}{name}.weight", (rows, self._size)))

    def norm(self, name: str) -> LayerNorm:
        weight, bias = (
            self._reader.read(TensorSpec(f"{self._prefix}{name}.{part}", (self._size,)))
            for part in ("weight", "bias")
        )
        return LayerNorm(self._kernels, weight, bias, self._eps)

    def layer(self, index: int) -> BertLayer:
        name = f"encoder.layer.{index}."
        attention = f"{name}attention.self."
        return BertLayer(
            qkv=self._linear([f"{attention}{part}" for part in ("query", "key", "value")]),
            attention_out=self._linear([f"{name}attention.output.dense"]),
            attention_norm=self.norm(f"{name}attention.output.LayerNorm"),
            inner=self._linear([f"{name}intermediate.dense"], outputs=self._inner),
            outer=self._linear([f"{name}output.dense"], inputs=self._inner),
            norm=self.norm(f"{name}output.LayerNorm"),
        )

    def _linear(self, names: Sequence[str], *, outputs: int = 0, inputs: int = 0) -> Linear:
        """The named matrices one below the other; each has the hidden size unless it is said."""
        shape = (outputs or self._size, inputs or self._size)
        full = [self._prefix + name for name in names]
        weight = self._reader.read_fused([TensorSpec(f"{name}.weight", shape) for name in full])
        bias = self._reader.read_fused([TensorSpec(f"{name}.bias", shape[:1]) for name in full])
        return Linear(self._kernels, weight, bias, scheme=self._scheme)
