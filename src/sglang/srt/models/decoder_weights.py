"""Where a decoder's tensors are in a checkpoint, and the layers made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from sglang.srt.kernels.attention_variant import AttentionVariant
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.quantization import WeightScheme
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.mlp import MLP, activation
from sglang.srt.layers.moe import MoE
from sglang.srt.layers.norm import LayerNorm, NoNorm, Norm, RMSNorm
from sglang.srt.layers.rotary import RopeConfig
from sglang.srt.layers.temperature import temperature_table
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.decoder_attention import Attention, GroupedAttention
from sglang.srt.models.decoder_config import DecoderConfig
from sglang.srt.models.mla import read_latent_attention
from sglang.srt.models.moe_config import MoEConfig
from sglang.srt.models.moe_weights import MoENames, MoEReader, gates_first

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecoderNames:
    """Names of the tensors. Inside a layer: without ``layer`` and without .weight or .bias."""

    prefix: str = "model."
    """Of what a checkpoint without a head may leave away."""
    embedding: str = "model.embed_tokens.weight"
    embedding_norm: str = "model.embed_layernorm"
    positions: str = "model.embed_positions.weight"
    final_norm: str = "model.norm"
    lm_head: str = "lm_head.weight"
    layer: str = "model.layers.{}."
    input_norm: str = "input_layernorm"
    qkv: str | None = None
    """Where queries, keys and values are one matrix: then the next three names are not used."""
    q: str = "self_attn.q_proj"
    k: str = "self_attn.k_proj"
    v: str = "self_attn.v_proj"
    o: str = "self_attn.o_proj"
    q_norm: str = "self_attn.q_norm"
    """With {} for the number of the head where each has a tensor of its own; so ``k_norm``."""
    k_norm: str = "self_attn.k_norm"
    sinks: str = "self_attn.sinks"
    latent_attention: str = "self_attn."
    """With what the names of latent attention begin, which are the same everywhere."""
    attention_out_norm: str = "post_attention_layernorm"
    """Of sandwich and post-norm blocks alone, as ``mlp_out_norm``."""
    mlp_norm: str = "post_attention_layernorm"
    gate_up: str | None = None
    """Where both are one matrix: then the next two names are not used."""
    gate_up_interleaved: bool = False
    """That matrix has a row of the gate, one of the other half, the next of the gate ..."""
    gate: str = "mlp.gate_proj"
    up: str = "mlp.up_proj"
    down: str = "mlp.down_proj"
    mlp_out_norm: str = "post_feedforward_layernorm"
    moe: tuple[MoENames, ...] = (MoENames(),)
    """Of mixtures of experts; the first whose router is in the checkpoint."""
    transposed: bool = False
    """Matrices are stored as [inputs, outputs]."""

    def without_prefix(self) -> DecoderNames:
        """The names in a checkpoint that holds the decoder alone, without a head."""
        return replace(
            self,
            embedding=self.embedding.removeprefix(self.prefix),
            embedding_norm=self.embedding_norm.removeprefix(self.prefix),
            positions=self.positions.removeprefix(self.prefix),
            final_norm=self.final_norm.removeprefix(self.prefix),
            layer=self.layer.removeprefix(self.prefix),
        )


@dataclass(frozen=True)
class DecoderLayer:
    """The weights of one block."""

    input_norm: Norm
    attention: Attention
    o: Linear
    attention_out_norm: Norm
    mlp_norm: Norm
    mlp: MLP | MoE
    mlp_out_norm: Norm


class DecoderReader:
    """Reads the parts of a decoder as its configuration and names say."""

    def __init__(
        self,
        config: DecoderConfig,
        names: DecoderNames,
        reader: WeightReader,
        kernels: Kernels,
        scheme: WeightScheme | None,
    ) -> None:
        """``scheme`` says how the matrices of the layers are quantized, if they are."""
        self._config, self._names, self._reader = config, names, reader
        self._kernels, self._scheme = kernels, scheme
        self._act = activation(
            kernels, config.activation, gated=config.gated_mlp, limit=config.activation_limit
        )

    def layer(self, index: int, tables: Mapping[RopeConfig | None, torch.Tensor]) -> DecoderLayer:
        """Block ``index``; its matrices are packed at once, so that no more than one is double.

        ``tables`` are those of ``layers.rotary``.
        """
        config, names = self._config, self._names
        prefix = names.layer.format(index)
        attended = config.num_heads * (config.mla.value_dim if config.mla else config.head_dim)
        nothing, form = NoNorm(self._kernels), config.block
        after = form in ("sandwich", "post")
        return DecoderLayer(
            input_norm=nothing if form == "post" else self.norm(prefix + names.input_norm),
            attention=self._attention(prefix, index, tables[config.ropes[index]]),
            o=self._matrix([(prefix + names.o, config.hidden_size)], attended, config.o_bias),
            attention_out_norm=self.norm(prefix + names.attention_out_norm) if after else nothing,
            mlp_norm=(
                nothing if form in ("post", "parallel") else self.norm(prefix + names.mlp_norm)
            ),
            mlp=self._mlp(prefix, index),
            mlp_out_norm=self.norm(prefix + names.mlp_out_norm) if after else nothing,
        )

    def _attention(self, prefix: str, index: int, cos_sin: torch.Tensor) -> Attention:
        config, names = self._config, self._names
        if config.mla is not None:
            prefix += names.latent_attention
            read = self._reader, self._matrix
            return read_latent_attention(config, config.mla, *read, self._kernels, prefix, cos_sin)
        return GroupedAttention(
            config,
            self._kernels,
            qkv=self._qkv(prefix),
            q_norm=self._qk_norm(prefix + names.q_norm, config.num_heads, index),
            k_norm=self._qk_norm(prefix + names.k_norm, config.num_kv_heads, index),
            cos_sin=cos_sin,
            window=config.windows[index],
            variant=self._variant(prefix, index),
            temperatures=self._temperatures(index, len(cos_sin)),
        )

    def _temperatures(self, index: int, length: int) -> torch.Tensor | None:
        found = self._config.temperatures[index] if self._config.temperatures else None
        return temperature_table(found, length, self._reader.device) if found else None

    def _variant(self, prefix: str, index: int) -> AttentionVariant:
        config, device = self._config, self._reader.device
        sinks = TensorSpec(prefix + self._names.sinks, (config.num_heads,))
        return AttentionVariant(
            chunk=config.chunks[index] if config.chunks else 0,
            slopes=torch.tensor(config.slopes, device=device) if config.slopes else None,
            sinks=self._reader.read(sinks).float() if config.sinks else None,
            sparsity=config.sparsities[index] if config.sparsities else None,
        )

    def norm(self, name: str) -> Norm:
        """The norm of the hidden state called ``name``."""
        config, size = self._config, (self._config.hidden_size,)
        if not config.norm_weight:
            weight = torch.ones(size, dtype=self._reader.dtype, device=self._reader.device)
            bias = None
        else:
            weight = self._norm_weight(TensorSpec(f"{name}.weight", size))
            bias = self._reader.read(TensorSpec(f"{name}.bias", size)) if config.norm_bias else None
        if config.norm == "rms":
            return RMSNorm(self._kernels, weight, config.norm_eps)
        return LayerNorm(self._kernels, weight, bias, config.norm_eps)

    def _norm_weight(self, *specs: TensorSpec) -> torch.Tensor:
        """In float32 where an offset would cost digits."""
        weight, offset = self._reader.read_fused(specs), self._config.norm_offset
        return weight.float() + offset if offset else weight

    def _qk_norm(self, name: str, heads: int, index: int) -> torch.Tensor | None:
        size, kind = self._config.head_dim, self._config.qk_norm
        if kind == "none" or (kind == "rotated" and self._config.ropes[index] is None):
            return None
        if kind == "rotated":
            return torch.ones(size, dtype=self._reader.dtype, device=self._reader.device)
        if "{}" in name:
            parts = [TensorSpec(f"{name.format(head)}.weight", (size,)) for head in range(heads)]
            return self._norm_weight(*parts).view(heads, size)
        shape = {"head": (size,), "each_head": (heads, size), "whole": (heads * size,)}[kind]
        weight = self._norm_weight(TensorSpec(f"{name}.weight", shape))
        return weight.unsqueeze(0) if kind == "whole" else weight

    def _qkv(self, prefix: str) -> Linear:
        config, names = self._config, self._names
        q_size = config.num_heads * config.head_dim
        kv_size = config.num_kv_heads * config.head_dim
        parts = [(names.q, q_size), (names.k, kv_size), (names.v, kv_size)]
        if names.qkv is not None:
            parts = [(names.qkv, q_size + 2 * kv_size)]
        parts = [(prefix + name, size) for name, size in parts]
        reorder = self._ungrouped if config.grouped_qkv else None
        return self._matrix(parts, config.hidden_size, config.qkv_bias, reorder)

    def _mlp(self, prefix: str, index: int) -> MLP | MoE:
        config, names = self._config, self._names
        if config.moe is not None and index in config.moe.layers:
            return self._mixture(prefix, config.moe)
        gated, fused = (names.gate, names.up), names.gate_up
        return self._one_mlp(prefix, gated, fused, names.down, config.intermediate_size)

    def _mixture(self, prefix: str, moe: MoEConfig) -> MoE:
        found = [n for n in self._names.moe if self._reader.has(f"{prefix}{n.router}.weight")]
        reader = MoEReader(
            moe,
            (found or self._names.moe)[0],
            self._reader,
            self._kernels,
            self._scheme,
            self._config.hidden_size,
            self._config.activation,
            self._config.activation_limit,
        )

        def shared(names: MoENames) -> MLP:
            gated, fused = (names.shared_gate, names.shared_up), names.shared_gate_up
            return self._one_mlp(prefix, gated, fused, names.shared_down, moe.shared_size)

        return reader.layer(prefix, shared)

    def _one_mlp(
        self, prefix: str, gated: tuple[str, str], fused: str | None, down: str, inner: int
    ) -> MLP:
        """``gated`` are the names of the gate and the other half, ``fused`` that of both."""
        config = self._config
        hidden, bias = config.hidden_size, config.mlp_bias
        parts = [(name, inner) for name in (gated if config.gated_mlp else gated[1:])]
        if fused is not None:
            parts = [(fused, 2 * inner)]
        parts = [(prefix + name, size) for name, size in parts]
        return MLP(
            up=self._matrix(
                parts, hidden, bias, gates_first if self._names.gate_up_interleaved else None
            ),
            act=self._act,
            down=self._matrix([(prefix + down, hidden)], inner, bias),
        )

    def _matrix(
        self,
        parts: Sequence[tuple[str, int]],
        inputs: int,
        bias: bool,
        reorder: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> Linear:
        """Matrices of ``inputs`` columns, with these names and outputs, as one.

        ``reorder`` brings its rows into the order that the layers want.
        """
        read = self._reader.read_fused
        added = (
            read([TensorSpec(f"{name}.bias", (size,)) for name, size in parts]) if bias else None
        )
        if self._names.transposed:
            stored = [TensorSpec(f"{name}.weight", (inputs, size)) for name, size in parts]
            weight = torch.cat([self._reader.read(spec) for spec in stored], dim=1).t().contiguous()
        else:
            stored = [TensorSpec(f"{name}.weight", (size, inputs)) for name, size in parts]
            if self._scheme is None and reorder is None:
                matrix = self._reader.read_matrix(stored)
                return Linear(self._kernels, matrix, added)
            weight = read(stored)
        if reorder is not None:
            weight = reorder(weight)
            added = None if added is None else reorder(added)
        return Linear(self._kernels, weight, added, scheme=self._scheme)

    def _ungrouped(self, x: torch.Tensor) -> torch.Tensor:
        """All queries, then all keys, then all values, of rows grouped by key head."""
        config = self._config
        groups = x.view(config.num_kv_heads, -1, config.head_dim, *x.shape[1:])
        q, k, v = groups[:, :-2], groups[:, -2], groups[:, -1]
        return torch.cat([part.reshape(-1, *x.shape[1:]) for part in (q, k, v)])

    def embeddings(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding table and the matrix of the head, [V, H] each; one if they are tied.

        A tied checkpoint may hold either or both. If both are there and differ, the configuration
        is wrong: the file is believed, as transformers does.
        """
        config, names, reader = self._config, self._names, self._reader
        shape = (config.vocab_size, config.hidden_size)
        embedding_spec = TensorSpec(names.embedding, shape)
        head_spec = TensorSpec(names.lm_head, shape)
        if not config.tie_embeddings:
            return self._scaled(reader.read(embedding_spec)), self._head(reader.read(head_spec))
        reader.ignore(names.lm_head)
        if not (reader.has(names.embedding) and reader.has(names.lm_head)):
            table = reader.read(head_spec if reader.has(names.lm_head) else embedding_spec)
            return self._scaled(table), self._head(table)
        table, head = reader.read(embedding_spec), reader.read(head_spec)
        if torch.equal(table, head):
            return self._scaled(table), self._head(table)
        logger.warning(
            "config.json ties the embeddings but %s and %s differ: both are used",
            names.embedding,
            names.lm_head,
        )
        return self._scaled(table), self._head(head)

    def head_bias(self) -> torch.Tensor | None:
        """What is added to the scores [V], if there is such a tensor."""
        if not self._config.head_bias:
            return None
        name = self._names.lm_head.removesuffix("weight") + "bias"
        return self._reader.read(TensorSpec(name, (self._config.vocab_size,)))

    def ignore_predictors(self, count: int) -> None:
        """Do not miss the ``count`` layers behind the last, which predict further tokens."""
        layers = range(self._config.num_layers, self._config.num_layers + count)
        prefixes = tuple(self._names.layer.format(index) for index in layers)
        for name in self._reader.names() if prefixes else ():
            if name.startswith(prefixes):
                self._reader.ignore(name)

    def embedding_alone(self) -> torch.Tensor:
        """The embedding table [V, H] of a model without a head."""
        shape = (self._config.vocab_size, self._config.hidden_size)
        self._reader.ignore(self._names.lm_head)
        return self._scaled(self._reader.read(TensorSpec(self._names.embedding, shape)))

    def positions(self) -> torch.Tensor | None:
        """The table of learned positions [P, H], if there is one."""
        config = self._config
        if not config.num_positions:
            return None
        shape = (config.num_positions, config.hidden_size)
        return self._reader.read(TensorSpec(self._names.positions, shape))

    def _scaled(self, table: torch.Tensor) -> torch.Tensor:
        """A multiplier, or a norm, rounds the table as it would round what is looked up."""
        multiplier = self._config.embedding_multiplier
        if self._config.embedding_norm:
            table = self.norm(self._names.embedding_norm)(table)
        return table if multiplier == 1 else table * table.new_tensor(multiplier)

    def _head(self, weight: torch.Tensor) -> torch.Tensor:
        return F.normalize(weight, dim=-1) if self._config.normalized_head else weight
