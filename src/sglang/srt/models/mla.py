"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), with absorbed weights.

Only a row per token is kept: what keys and values of all heads are made of, and one rotated key
that all heads share. The matrix that would make a head's keys of a row is applied to its query
instead, and the one for the values to the weighted sum of rows. So the heads attend to the rows
themselves, as queries do that share one key head; prompts are read this way as well, for then a
token's answer does not depend on how its prompt was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.model_config import positive_int
from sglang.srt.kernels.interface import Kernels, PackedExperts
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.layers.linear import Linear
from sglang.srt.layers.norm import RMSNorm
from sglang.srt.layers.rotary import score_factor
from sglang.srt.model_loader.weights import TensorSpec, WeightReader
from sglang.srt.models.decoder_config import DecoderConfig, flag, parse_decoder
from sglang.srt.models.mla_config import MLAConfig, parse_mla

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch

ReadMatrix = Callable[[Sequence[tuple[str, int]], int, bool], Linear]
"""(names and outputs of matrices that are read as one, their inputs, whether they have biases)."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Implements ``decoder_attention.Attention`` over a ``latent_cache``."""

    config: DecoderConfig
    mla: MLAConfig
    kernels: Kernels
    down: Linear
    """Queries, or what they are made of, and the row: [T, H] -> [T, Q + row_dim]."""
    q_norm: RMSNorm | None
    q_up: Linear | None
    """[T, q_rank] -> [T, heads * head_dim], if ``down`` gives no queries."""
    row_norm: torch.Tensor
    """[latent_dim]."""
    to_row: PackedExperts
    """[heads, latent_dim, nope_dim]: from a query to what meets the rows."""
    to_value: PackedExperts
    """[heads, value_dim, latent_dim]."""
    cos_sin: torch.Tensor

    def __call__(self, x: torch.Tensor, batch: ForwardBatch, cache: KVCache) -> torch.Tensor:
        """[T, H] -> [T, heads * value_dim]."""
        config, mla, kernels = self.config, self.mla, self.kernels
        down = self.down(x)
        q, row = down[:, : -mla.row_dim], down[:, -mla.row_dim :]
        if self.q_norm is not None and self.q_up is not None:
            q = self.q_up(self.q_norm(q))
        kernels.rope_and_write_latent(
            q,
            row,
            batch.positions,
            self.cos_sin,
            cache,
            batch.out_slots,
            num_heads=config.num_heads,
            norm=self.row_norm,
            norm_eps=mla.norm_eps,
            interleaved=config.interleaved_rope,
        )
        heads = q.unflatten(1, (config.num_heads, mla.head_dim))
        nope, rotated = heads[..., : mla.nope_dim], heads[..., mla.nope_dim :]
        queries = kernels.linear_heads(nope, self.to_row, beside=rotated)
        attended = kernels.attention(
            queries.view(-1, config.num_heads, mla.row_dim),
            cache,
            batch.attention,
            scale=config.attention_scale,
            window=0,
            softcap=0.0,
        )
        return kernels.linear_heads(
            attended.view(-1, config.num_heads, mla.latent_dim), self.to_value
        )


def parse_mla_decoder(
    config: Mapping[str, Any],
    *,
    interleaved_rope: bool = False,
    default_tied: bool = False,
    norm_eps: tuple[str, float] = ("rms_norm_eps", 1e-6),
) -> DecoderConfig:
    """``parse_decoder`` for families with latent attention; the options are its own.

    Of the result, ``num_kv_heads`` and ``head_dim`` are those of the rows that are kept.
    """
    num_heads = positive_int(config, "num_attention_heads")
    bias = flag(config, "attention_bias")
    value_dim = positive_int(config, "hidden_size") // num_heads
    mla = parse_mla(config, default_value_dim=value_dim, bias=bias)
    if bias and not mla.q_rank:
        raise ModelLoadError(
            "config.json: 'attention_bias' without 'q_lora_rank' is not implemented yet"
        )
    # The rotary parameters are those of a head of the size that is rotated.
    heads = {"head_dim": mla.rope_dim, "num_key_value_heads": num_heads}
    facts = parse_decoder(
        {**config, **heads}, default_tied=default_tied, norm_eps=norm_eps, o_bias=bias
    )
    return replace(
        facts,
        mla=mla,
        num_kv_heads=1,
        head_dim=mla.row_dim,
        interleaved_rope=interleaved_rope,
        attention_scale=mla.head_dim**-0.5 * score_factor(config),
    )


def read_latent_attention(
    config: DecoderConfig,
    mla: MLAConfig,
    reader: WeightReader,
    read_matrix: ReadMatrix,
    kernels: Kernels,
    prefix: str,
    cos_sin: torch.Tensor,
) -> LatentAttention:
    """The attention whose tensors begin with ``prefix``.

    The absorbed matrices are kept in the activations' dtype, whatever the others are in.
    """
    heads, q_size = config.num_heads, config.num_heads * mla.head_dim
    first = (f"{prefix}q_a_proj", mla.q_rank) if mla.q_rank else (f"{prefix}q_proj", q_size)
    row = (f"{prefix}kv_a_proj_with_mqa", mla.row_dim)
    q_norm = q_up = None
    if mla.q_rank:
        weight = reader.read(TensorSpec(f"{prefix}q_a_layernorm.weight", (mla.q_rank,)))
        q_norm = RMSNorm(kernels, weight, mla.norm_eps)
        q_up = read_matrix([(f"{prefix}q_b_proj", q_size)], mla.q_rank, False)
    shape = (heads * (mla.nope_dim + mla.value_dim), mla.latent_dim)
    up = reader.read(TensorSpec(f"{prefix}kv_b_proj.weight", shape))
    keys, values = up.view(heads, -1, mla.latent_dim).split([mla.nope_dim, mla.value_dim], dim=1)
    return LatentAttention(
        config,
        mla,
        kernels,
        down=read_matrix([first, row], config.hidden_size, mla.bias),
        q_norm=q_norm,
        q_up=q_up,
        row_norm=reader.read(TensorSpec(f"{prefix}kv_a_layernorm.weight", (mla.latent_dim,))),
        to_row=kernels.pack_experts(keys.transpose(1, 2), heads),
        to_value=kernels.pack_experts(values, heads),
        cos_sin=cos_sin,
    )
