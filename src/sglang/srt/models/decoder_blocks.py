"""The forms of a block: how attention, MLP and norms are added to the residual.

Each takes what the attention found, already gathered where only some rows are wanted, and returns
the input of the next block: the sum of the residual, which it updates in place, under the norm that
comes next. ``x`` is the input of the block, from which the attention was computed as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from sglang.srt.layers.norm import Norm
from sglang.srt.models.decoder_config import Block
from sglang.srt.models.decoder_weights import DecoderLayer

BlockForm = Callable[
    [DecoderLayer, torch.Tensor, torch.Tensor, torch.Tensor, Norm, float], torch.Tensor
]
"""(layer, attended [R, Hq * D], x [R, H], residual [R, H], next norm, residual multiplier)."""


def pre_norm(
    layer: DecoderLayer,
    attended: torch.Tensor,
    x: torch.Tensor,
    residual: torch.Tensor,
    next_norm: Norm,
    scale: float,
) -> torch.Tensor:
    """r += attention(norm(r)); r += mlp(norm(r))."""
    x = layer.mlp_norm.of_sum(layer.o(attended), residual, scale)
    return next_norm.of_sum(layer.mlp(x), residual, scale)


def sandwich(
    layer: DecoderLayer,
    attended: torch.Tensor,
    x: torch.Tensor,
    residual: torch.Tensor,
    next_norm: Norm,
    scale: float,
) -> torch.Tensor:
    """r += norm(attention(norm(r))); r += norm(mlp(norm(r))); in "post" without the inner ones."""
    found = layer.attention_out_norm(layer.o(attended))
    x = layer.mlp_norm.of_sum(found, residual, scale)
    return next_norm.of_sum(layer.mlp_out_norm(layer.mlp(x)), residual, scale)


def parallel(
    layer: DecoderLayer,
    attended: torch.Tensor,
    x: torch.Tensor,
    residual: torch.Tensor,
    next_norm: Norm,
    scale: float,
) -> torch.Tensor:
    """r += attention(x) + mlp(x) for one x = norm(r)."""
    layer.mlp_norm.of_sum(layer.o(attended), residual, scale)
    return next_norm.of_sum(layer.mlp(x), residual, scale)


BLOCK_FORMS: Mapping[Block, BlockForm] = {
    "pre": pre_norm,
    "sandwich": sandwich,
    "post": sandwich,
    "parallel": parallel,
}
