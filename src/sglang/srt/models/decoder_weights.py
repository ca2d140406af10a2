"""Where a decoder's tensors are in a checkpoint, and the layers made of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.layers.linear import Linear
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.decoder_config import DecoderConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecoderNames:
    """Names of the tensors. Inside a layer: without ``layer`` and without .weight or .bias."""

    embedding: str = "model.embed_tokens.weight"
    final_norm: str = "model.norm.weight"
    lm_head: str = "lm_head.weight"
    layer: str = "model.layers.{}."
    input_norm: str = "input_layernorm"
    q: str = "self_attn.q_proj"
    k: str = "self_attn.k_proj"
    v: str = "self_attn.v_proj"
    o: str = "self_attn.o_proj"
    q_norm: str = "self_attn.q_norm"
    k_norm: str = "self_attn.k_norm"
    post_norm: str = "post_attention_layernorm"
    gate: str = "mlp.gate_proj"
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"

    def without_prefix(self) -> DecoderNames:
        """The names in a checkpoint that holds the decoder alone, without a head."""
        return replace(
            self,
            embedding=self.embedding.removeprefix("model."),
            final_norm=self.final_norm.removeprefix("model."),
            layer=self.layer.removeprefix("model."),
        )


@dataclass(frozen=True)
class DecoderLayer:
    """The weights of one block."""

    input_norm: torch.Tensor
    qkv: Linear
    """Queries, keys and values in one product."""
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    o: Linear
    post_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    window: int


def load_layer(
    config: DecoderConfig,
    names: DecoderNames,
    reader: WeightReader,
    kernels: Kernels,
    index: int,
    scheme: WeightScheme | None,
) -> DecoderLayer:
    """Read block ``index``; its matrices are packed at once, so that no more than one is double.

    ``scheme`` says how they are quantized, if they are.
    """
    prefix = names.layer.format(index)
    hidden, inner = config.hidden_size, config.intermediate_size
    q_size = config.num_heads * config.head_dim
    kv_size = config.num_kv_heads * config.head_dim

    def norm(name: str, size: int) -> torch.Tensor:
        return reader.read(TensorSpec(f"{prefix}{name}.weight", (size,)))

    def columns(parts: Sequence[tuple[str, int]], bias: bool) -> Linear:
        """Matrices side by side, split over the ranks by their outputs."""
        weight = reader.read_fused(
            [TensorSpec(f"{prefix}{name}.weight", (size, hidden), 0) for name, size in parts]
        )
        biases = [TensorSpec(f"{prefix}{name}.bias", (size,), 0) for name, size in parts]
        added = reader.read_fused(biases) if bias else None
        return Linear(kernels, weight, added, scheme=scheme)

    def rows(name: str, size: int, bias: bool) -> Linear:
        """A matrix split over the ranks by its inputs."""
        weight = reader.read(TensorSpec(f"{prefix}{name}.weight", (hidden, size), 1))
        added = reader.read(TensorSpec(f"{prefix}{name}.bias", (hidden,))) if bias else None
        return Linear(kernels, weight, added, scheme=scheme)

    return DecoderLayer(
        input_norm=norm(names.input_norm, hidden),
        qkv=columns([(names.q, q_size), (names.k, kv_size), (names.v, kv_size)], config.qkv_bias),
        q_norm=norm(names.q_norm, config.head_dim) if config.qk_norm else None,
        k_norm=norm(names.k_norm, config.head_dim) if config.qk_norm else None,
        o=rows(names.o, q_size, config.o_bias),
        post_norm=norm(names.post_norm, hidden),
        gate_up=columns([(names.gate, inner), (names.up, inner)], config.mlp_bias),
        down=rows(names.down, inner, config.mlp_bias),
        window=config.windows[index],
    )


def load_embeddings(
    config: DecoderConfig, names: DecoderNames, reader: WeightReader
) -> tuple[torch.Tensor, torch.Tensor]:
    """The embedding table and the matrix of the head, [V, H] each; one tensor if they are tied.

    A tied checkpoint may hold either or both. If both are there and differ, the configuration is
    wrong: the file is believed, as transformers does.
    """
    shape = (config.vocab_size, config.hidden_size)
    embedding_spec = TensorSpec(names.embedding, shape)
    head_spec = TensorSpec(names.lm_head, shape)
    if not config.tie_embeddings:
        return reader.read(embedding_spec), reader.read(head_spec)
    reader.ignore(names.lm_head)
    if not (reader.has(names.embedding) and reader.has(names.lm_head)):
        table = reader.read(head_spec if reader.has(names.lm_head) else embedding_spec)
        return table, table
    table, head = reader.read(embedding_spec), reader.read(head_spec)
    if torch.equal(table, head):
        return table, table
    logger.warning(
        "config.json ties the embeddings but %s and %s differ: both are used",
        names.embedding,
        names.lm_head,
    )
    return table, head
