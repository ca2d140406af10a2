"""Our paged attention in the place that transformers' models leave for one.

A model of transformers calls what its configuration names in the table of attention functions, and
hands it the keyword arguments of its own forward pass. One of them, PAGED, is what to do: nothing
is kept between two passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant
from sglang.srt.kernels.interface import Kernels

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import ForwardBatch

ATTENTION = "sglang_paged"
"""The name of this attention in transformers' table."""

PAGED = "sglang_attend"
"""The keyword argument that carries an :data:`Attend`."""

_WITHOUT_EFFECT = {"dropout", "position_ids", "cache_position", "use_cache", "layer_idx"}
_WITHOUT_EFFECT |= {"output_attentions", "output_hidden_states", "output_router_logits"}
"""Of a pass without gradients whose positions are in the keys already."""


@dataclass(frozen=True)
class AttentionCall:
    """What one attention layer asks for: T tokens, heads of D for keys and of E for values."""

    layer: torch.nn.Module
    q: torch.Tensor
    """[T, Hq, D]; keys [T, Hk, D] and values [T, Hk, E] likewise, all rotated already."""
    k: torch.Tensor
    v: torch.Tensor
    scale: float
    window: int
    softcap: float
    sinks: torch.Tensor | None
    """[Hq] scores that take part in the softmax and have no value."""


Attend = Callable[[AttentionCall], torch.Tensor]
"""Returns [T, Hq, E]."""


@dataclass(frozen=True)
class LayerShape:
    """What a layer keeps of a token, and how far back it looks (0: to the beginning)."""

    num_kv_heads: int
    head_dim: int
    window: int


def register_attention() -> None:
    """Enter :data:`ATTENTION` in transformers' table of attention functions."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention_of_transformers)


def _attention_of_transformers(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    is_causal: bool | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """[1, heads, T, D] each -> ([1, T, Hq, E], no weights).

    Raises ModelLoadError for what paged attention does not do, which shows when the model is
    loaded.
    """
    name = type(module).__name__
    attend: Attend | None = others.pop(PAGED, None)
    if attend is None:
        raise ModelLoadError(f"{name} does not get the keyword arguments of the model's forward")
    if is_causal is False or getattr(module, "is_causal", True) is False:
        raise ModelLoadError(f"the attention of {name} is not causal")
    if attention_mask is not None:
        raise ModelLoadError(f"{name} makes an attention mask of its own")
    for key_word, argument in others.items():
        if key_word not in _WITHOUT_EFFECT and argument is not None:
            raise ModelLoadError(f"{name} asks for attention with {key_word!r}")
    call = AttentionCall(
        layer=module,
        q=query[0].transpose(0, 1),
        k=key[0].transpose(0, 1),
        v=value[0].transpose(0, 1),
        scale=query.shape[-1] ** -0.5 if scaling is None else float(scaling),
        window=sliding_window or 0,
        softcap=softcap or 0.0,
        sinks=s_aux,
    )
    return attend(call).unsqueeze(0), None


class ShapeNotes:
    """An :data:`Attend` that computes nothing and notes which layers there are, in their order."""

    def __init__(self) -> None:
        self.layers: dict[torch.nn.Module, LayerShape] = {}

    def __call__(self, call: AttentionCall) -> torch.Tensor:
        if call.layer in self.layers:
            raise ModelLoadError(f"{type(call.layer).__name__} attends more than once in a layer")
        head_dim = max(call.k.shape[-1], call.v.shape[-1])
        self.layers[call.layer] = LayerShape(call.k.shape[1], head_dim, call.window)
        return call.q.new_zeros(*call.q.shape[:2], call.v.shape[-1])


@dataclass(frozen=True)
class PagedAttend:
    """An :data:`Attend` over the KV pool of a batch."""

    batch: ForwardBatch
    kernels: Kernels
    places: Mapping[torch.nn.Module, int]
    """Where the layers are in the pool."""
    no_rotation: torch.Tensor
    """[context length, 0] float32."""

    def __call__(self, call: AttentionCall) -> torch.Tensor:
        batch, kernels = self.batch, self.kernels
        cache = batch.kv_pool.layers[self.places[call.layer]]
        _, num_kv_heads, head_dim = cache.k.shape
        kv = torch.cat([_widened(call.k, head_dim), _widened(call.v, head_dim)], dim=1)
        kernels.rope_and_write_kv(
            kv.flatten(1),
            batch.positions,
            self.no_rotation,
            cache,
            batch.out_slots,
            num_heads=0,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            q_norm=None,
            k_norm=None,
            norm_eps=0.0,
            interleaved=False,
        )
        variant = PLAIN
        if call.sinks is not None:
            variant = AttentionVariant(sinks=call.sinks.float().contiguous())
        out = kernels.attention(
            _widened(call.q, head_dim).contiguous(),
            cache,
            batch.attention,
            scale=call.scale,
            window=call.window,
            softcap=call.softcap,
            variant=variant,
        )
        return out.view(*call.q.shape[:2], head_dim)[..., : call.v.shape[-1]]


def _widened(x: torch.Tensor, width: int) -> torch.Tensor:
    """Zeros behind the last dimension, up to ``width``: they add nothing to a product."""
    return x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))
