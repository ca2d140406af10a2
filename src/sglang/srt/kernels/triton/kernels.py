"""All operations of a model on a GPU: Triton kernels, and torch where that is as good or better."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sglang.srt.kernels import TritonSettings
from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant
from sglang.srt.kernels.interface import Activation, PackedExperts, PackedLinear
from sglang.srt.kernels.kv_cache import KVCache
from sglang.srt.kernels.quantization import QuantizedWeight
from sglang.srt.kernels.reference import ReferenceKernels
from sglang.srt.kernels.routing import Routing
from sglang.srt.kernels.triton import quantized_linear
from sglang.srt.kernels.triton.activation import activate
from sglang.srt.kernels.triton.attention import PagedAttention
from sglang.srt.kernels.triton.experts import expert_mlp, pack_experts
from sglang.srt.kernels.triton.latent import linear_heads, rope_and_write_latent
from sglang.srt.kernels.triton.launch import INTERPRETED
from sglang.srt.kernels.triton.norm import norm, norm_groups
from sglang.srt.kernels.triton.rope import rope_and_write_kv
from sglang.srt.kernels.triton.routing import route
from sglang.srt.kernels.triton.rows import add_gated, scale_rows
from sglang.srt.kernels.triton.sampling import draw_tokens
from sglang.srt.kernels.triton.tokens import best_tokens, mask_tokens

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import AttentionMeta
    from sglang.srt.sampling.sampling_batch import DrawTokens

DEFAULT_SETTINGS = TritonSettings()


class TritonKernels:
    """Implements ``interface.Kernels`` for a GPU, or in Triton's interpreter for a CPU.

    Unlike on a CPU the bits of a row may depend on the other rows of a batch: how torch sums in a
    matrix product does.
    """

    def __init__(
        self,
        device: str = "cuda",
        settings: TritonSettings = DEFAULT_SETTINGS,
    ) -> None:
        """Raises ValueError for a CPU outside of the interpreter."""
        if device.partition(":")[0] == "cpu" and not INTERPRETED:
            raise ValueError("Triton kernels need a GPU, or TRITON_INTERPRET=1 to be interpreted")
        self.name = "triton (interpreted)" if INTERPRETED else "triton"
        self._attention = PagedAttention(settings)
        self.draw_tokens: DrawTokens | None = draw_tokens
        reference = ReferenceKernels(device)
        self._reference = reference
        # One kernel of torch's does each of these.
        self.allocate = reference.allocate
        self.add_scaled = reference.add_scaled
        self.clamp = reference.clamp
        self.gather_rows = reference.gather_rows
        # Once for each weight, while it is loaded.
        self.quantize_weight = reference.quantize_weight

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        return norm(x, weight, None, eps, centered=False)

    def add_rms_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        return norm(x, weight, None, eps, centered=False, residual=residual, scale=scale)

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        return norm(x, weight, bias, eps, centered=True)

    def add_layer_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        return norm(x, weight, bias, eps, centered=True, residual=residual, scale=scale)

    def norm_groups(
        self, x: torch.Tensor, weight: torch.Tensor, eps: float, *, centered: bool
    ) -> None:
        norm_groups(x, weight, eps, centered=centered)

    def silu_and_mul(self, x: torch.Tensor) -> torch.Tensor:
        return activate(x, "silu", gated=True)

    def gelu_and_mul(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        return activate(x, "gelu" if exact else "gelu_tanh", gated=True)

    def gelu(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        return activate(x, "gelu" if exact else "gelu_tanh", gated=False)

    def clamped_swiglu(self, x: torch.Tensor, limit: float) -> torch.Tensor:
        return activate(x, "clamped_swiglu", gated=True, limit=limit)

    def scale_rows(self, x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
        scale_rows(x, positions, table)

    def add_gated(self, x: torch.Tensor, gate: torch.Tensor, residual: torch.Tensor) -> None:
        add_gated(x, gate, residual)

    def best_tokens(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return best_tokens(logits)

    def mask_tokens(self, logits: torch.Tensor, rows: torch.Tensor, bits: torch.Tensor) -> None:
        mask_tokens(logits, rows, bits)

    def rope_and_write_kv(
        self,
        qkv: torch.Tensor,
        positions: torch.Tensor,
        cos_sin: torch.Tensor,
        cache: KVCache,
        out_slots: torch.Tensor,
        *,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        q_norm: torch.Tensor | None,
        k_norm: torch.Tensor | None,
        norm_eps: float,
        interleaved: bool,
    ) -> None:
        rope_and_write_kv(
            qkv,
            positions,
            cos_sin,
            cache,
            out_slots,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            q_norm=q_norm,
            k_norm=k_norm,
            norm_eps=norm_eps,
            interleaved=interleaved,
        )

    def rope_and_write_latent(
        self,
        q: torch.Tensor,
        latent: torch.Tensor,
        positions: torch.Tensor,
        cos_sin: torch.Tensor,
        cache: KVCache,
        out_slots: torch.Tensor,
        *,
        num_heads: int,
        norm: torch.Tensor,
        norm_eps: float,
        interleaved: bool,
    ) -> None:
        rope_and_write_latent(
            q,
            latent,
            positions,
            cos_sin,
            cache,
            out_slots,
            num_heads=num_heads,
            norm=norm,
            norm_eps=norm_eps,
            interleaved=interleaved,
        )

    def linear_heads(
        self, x: torch.Tensor, packed: PackedExperts, beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        return linear_heads(x, packed, beside)

    def attention(
        self,
        q: torch.Tensor,
        cache: KVCache,
        meta: AttentionMeta,
        *,
        scale: float,
        window: int,
        softcap: float,
        variant: AttentionVariant = PLAIN,
    ) -> torch.Tensor:
        if not self._attention.serves(q, cache, variant):
            return self._reference.attention(
                q, cache, meta, scale=scale, window=window, softcap=softcap, variant=variant
            )
        return self._attention(
            q, cache, meta, scale=scale, window=window, softcap=softcap, variant=variant
        )

    def pack_linear(self, weight: torch.Tensor | QuantizedWeight) -> PackedLinear:
        if isinstance(weight, QuantizedWeight):
            if weight.scheme.floats or weight.scheme.zeros:
                return self._reference.pack_linear(weight)
            return quantized_linear.pack(weight)
        return PackedLinear(weight, *weight.shape)

    def linear(
        self,
        x: torch.Tensor,
        packed: PackedLinear,
        bias: torch.Tensor | None = None,
        *,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        if packed.scheme is not None:
            if packed.scheme.floats or packed.scheme.zeros:
                return self._reference.linear(x, packed, bias, out_dtype=out_dtype)
            return quantized_linear.quantized_linear(x, packed, bias, out_dtype)
        if out_dtype in (None, x.dtype):
            return F.linear(x, packed.data, bias)
        if not x.is_cuda:
            return F.linear(x, packed.data, bias).to(out_dtype)
        wide = torch.mm(x, packed.data.T, out_dtype=out_dtype)  # the sums as they are
        return wide if bias is None else wide.add_(bias)

    def route(
        self, logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return route(logits, correction, routing)

    def pack_experts(
        self,
        weights: Iterable[torch.Tensor | QuantizedWeight],
        count: int,
        bias: torch.Tensor | None = None,
    ) -> PackedExperts:
        each = iter(weights)
        first = next(each, None)
        if first is None or isinstance(first, QuantizedWeight):
            rest = () if first is None else chain((first,), each)
            return self._reference.pack_experts(rest, count, bias)
        return pack_experts(chain((first,), each), count, bias)

    def expert_mlp(
        self,
        x: torch.Tensor,
        experts: torch.Tensor,
        weights: torch.Tensor,
        up: PackedExperts,
        down: PackedExperts,
        *,
        kind: Activation,
        limit: float = 0.0,
        scale_input: bool = False,
    ) -> torch.Tensor:
        # For quantized experts there are no kernels yet.
        plain = up.scheme is None and down.scheme is None
        run = expert_mlp if plain else self._reference.expert_mlp
        return run(x, experts, weights, up, down, kind=kind, limit=limit, scale_input=scale_input)
