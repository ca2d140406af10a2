"""Every operation in plain torch: the oracle of the tests and the fallback on any device.

Written to be read, not to be fast: any floating dtype, any device, float32 arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sglang.srt.kernels.attention_variant import PLAIN, AttentionVariant, unseen
from sglang.srt.kernels.experts import expert_mlp
from sglang.srt.kernels.interface import Activation, PackedExperts, PackedLinear
from sglang.srt.kernels.kv_cache import KVCache, read_kv, write_kv, write_latent
from sglang.srt.kernels.quantization import (
    QuantizedWeight,
    WeightScheme,
    quantize_weight,
    quantized_linear,
)
from sglang.srt.kernels.routing import Routing, route

if TYPE_CHECKING:
    from sglang.srt.model_executor.forward_batch import AttentionMeta
    from sglang.srt.sampling.sampling_batch import DrawTokens


class ReferenceKernels:
    """Implements ``interface.Kernels`` with torch operations alone."""

    name = "reference (torch)"
    draw_tokens: DrawTokens | None = None

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def allocate(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=self._device)

    def rms_norm(self, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        wide = x.float()
        mean_square = wide.square().mean(dim=-1, keepdim=True)
        return (wide * torch.rsqrt(mean_square + eps) * weight.float()).to(x.dtype)

    def add_rms_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        residual.add_(x, alpha=scale)
        return self.rms_norm(residual, weight, eps)

    def layer_norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        wide = x.float()
        deviation = wide - wide.mean(dim=-1, keepdim=True)
        variance = deviation.square().mean(dim=-1, keepdim=True)
        normed = deviation * torch.rsqrt(variance + eps) * weight.float()
        return (normed if bias is None else normed + bias.float()).to(x.dtype)

    def add_layer_norm(
        self,
        x: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        eps: float,
        scale: float = 1.0,
    ) -> torch.Tensor:
        residual.add_(x, alpha=scale)
        return self.layer_norm(residual, weight, bias, eps)

    def norm_groups(
        self, x: torch.Tensor, weight: torch.Tensor, eps: float, *, centered: bool
    ) -> None:
        groups = x.unflatten(-1, weight.shape)
        if centered:
            groups.copy_(self.layer_norm(groups, weight, None, eps))
        else:
            groups.copy_(self.rms_norm(groups, weight, eps))

    def add_scaled(self, x: torch.Tensor, residual: torch.Tensor, scale: float = 1.0) -> None:
        residual.add_(x, alpha=scale)

    def silu_and_mul(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = x.float().chunk(2, dim=-1)
        return (F.silu(gate) * up).to(x.dtype)

    def gelu_and_mul(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        gate, up = x.float().chunk(2, dim=-1)
        return (F.gelu(gate, approximate="none" if exact else "tanh") * up).to(x.dtype)

    def gelu(self, x: torch.Tensor, *, exact: bool) -> torch.Tensor:
        return F.gelu(x.float(), approximate="none" if exact else "tanh").to(x.dtype)

    def clamped_swiglu(self, x: torch.Tensor, limit: float) -> torch.Tensor:
        gate, up = x.float().chunk(2, dim=-1)
        gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return (gate * torch.sigmoid(1.702 * gate) * (up + 1)).to(x.dtype)

    def scale_rows(self, x: torch.Tensor, positions: torch.Tensor, table: torch.Tensor) -> None:
        x.copy_(x.float() * table[positions.long()].unsqueeze(1))

    def clamp(self, x: torch.Tensor, limit: float) -> None:
        x.clamp_(-limit, limit)

    def gather_rows(self, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return table.index_select(0, index)

    def best_tokens(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        best = logits.max(dim=-1)
        return best.values, best.indices.masked_fill_(~best.values.isfinite(), -1)

    def mask_tokens(self, logits: torch.Tensor, rows: torch.Tensor, bits: torch.Tensor) -> None:
        shifts = torch.arange(32, dtype=torch.int32, device=bits.device)
        for row, words in zip(rows.tolist(), bits, strict=True):
            allowed = (words[:, None] >> shifts).bitwise_and(1).view(-1)[: logits.shape[1]]
            logits[row].masked_fill_(allowed == 0, -torch.inf)

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
        heads = qkv.unflatten(-1, (num_heads + 2 * num_kv_heads, head_dim))
        q, k, v = heads.split([num_heads, num_kv_heads, num_kv_heads], dim=1)
        rows = cos_sin[positions.long()].float().unsqueeze(1)
        q_wide, k_wide = q.float(), k.float()
        if q_norm is not None:
            q_wide = self.rms_norm(q_wide, q_norm, norm_eps)
        if k_norm is not None:
            k_wide = self.rms_norm(k_wide, k_norm, norm_eps)
        q.copy_(_rotate(q_wide, rows, interleaved))
        write_kv(cache, out_slots.long(), _rotate(k_wide, rows, interleaved), v)

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
        out = q.new_empty((*q.shape[:2], cache.v.shape[-1]))
        indptr = meta.q_indptr.tolist()
        starts, lengths = meta.kv_start.tolist(), meta.kv_len.tolist()
        for b, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            first, last = indptr[b], indptr[b + 1]
            if first == last:
                continue
            slots = meta.kv_slots[start : start + length].long()
            k, v = read_kv(cache, slots)
            out[first:last] = _attend(q[first:last], k, v, scale, window, softcap, variant)
        return out.flatten(1)

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
        rows = cos_sin[positions.long()].float().unsqueeze(1)
        rotary_dim = rows.shape[-1]
        turning = q.unflatten(-1, (num_heads, -1))[..., -rotary_dim:]
        turning.copy_(_rotate(turning.float(), rows, interleaved))
        kept, key = latent.float().unsqueeze(1).split([norm.numel(), rotary_dim], dim=-1)
        kept = self.rms_norm(kept, norm, norm_eps)
        row = torch.cat((kept, _rotate(key, rows, interleaved)), dim=-1)
        write_latent(cache, out_slots.long(), row)

    def linear_heads(
        self, x: torch.Tensor, packed: PackedExperts, beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        out = torch.einsum("tgk,gnk->tgn", x, packed.data)
        return (out if beside is None else torch.cat((out, beside), dim=-1)).flatten(1)

    def quantize_weight(self, weight: torch.Tensor, scheme: WeightScheme) -> QuantizedWeight:
        return quantize_weight(weight, scheme)

    def pack_linear(self, weight: torch.Tensor | QuantizedWeight) -> PackedLinear:
        if isinstance(weight, QuantizedWeight):
            n, k = weight.codes.shape
            return PackedLinear(weight.codes, n, k, weight.scheme, weight.scales, weight.zeros)
        return PackedLinear(weight, *weight.shape)

    def linear(
        self,
        x: torch.Tensor,
        packed: PackedLinear,
        bias: torch.Tensor | None = None,
        *,
        out_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        if packed.scheme is not None and packed.scales is not None:
            data, scales, scheme, zeros = packed.data, packed.scales, packed.scheme, packed.zeros
            return quantized_linear(x, data, scales, scheme, bias, zeros=zeros, out_dtype=out_dtype)
        return F.linear(x, packed.data, bias).to(out_dtype or x.dtype)

    def route(
        self, logits: torch.Tensor, correction: torch.Tensor | None, routing: Routing
    ) -> tuple[torch.Tensor, torch.Tensor]:
        routing.check(logits.shape[1])
        return route(logits, correction, routing)

    def pack_experts(
        self,
        weights: Iterable[torch.Tensor | QuantizedWeight],
        count: int,
        bias: torch.Tensor | None = None,
    ) -> PackedExperts:
        packed = [self.pack_linear(weight) for weight in weights]
        if len(packed) != count:
            raise ValueError(f"there must be {count} experts, got {len(packed)}")
        data = torch.stack([one.data for one in packed])
        scales = [one.scales for one in packed if one.scales is not None]
        zeros = [one.zeros for one in packed if one.zeros is not None]
        return PackedExperts(
            data,
            packed[0].out_features,
            packed[0].in_features,
            packed[0].scheme,
            torch.stack(scales) if scales else None,
            bias,
            torch.stack(zeros) if zeros else None,
        )

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
        def mlp(expert: int, rows: torch.Tensor) -> torch.Tensor:
            inner = self._of_expert(rows, up, expert)
            if kind == "silu":
                inner = self.silu_and_mul(inner)
            elif kind == "clamped_swiglu":
                inner = self.clamped_swiglu(inner, limit)
            else:
                inner = self.gelu_and_mul(inner, exact=kind == "gelu")
            return self._of_expert(inner, down, expert)

        count = len(up.data)
        return expert_mlp(x, experts, weights, count, mlp, scale_input=scale_input)

    def _of_expert(self, x: torch.Tensor, packed: PackedExperts, expert: int) -> torch.Tensor:
        scales, zeros, bias = (
            None if part is None else part[expert]
            for part in (packed.scales, packed.zeros, packed.bias)
        )
        shape = packed.out_features, packed.in_features
        one = PackedLinear(packed.data[expert], *shape, packed.scheme, scales, zeros)
        return self.linear(x, one, bias)

    def add_gated(self, x: torch.Tensor, gate: torch.Tensor, residual: torch.Tensor) -> None:
        residual.copy_(residual.float() + gate.float().sigmoid() * x.float())


def _rotate(x: torch.Tensor, rows: torch.Tensor, interleaved: bool) -> torch.Tensor:
    """Rotate the first R of D values of x[T, heads, D] by rows[T, 1, R] = (cos | sin)."""
    rotary_dim = rows.shape[-1]
    if rotary_dim == 0:
        return x
    cos, sin = rows.chunk(2, dim=-1)
    turning, rest = x[..., :rotary_dim], x[..., rotary_dim:]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
    else:
        first, second = turning.chunk(2, dim=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    if interleaved:
        return torch.cat((torch.stack(turned, dim=-1).flatten(-2), rest), dim=-1)
    return torch.cat((*turned, rest), dim=-1)


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    window: int,
    softcap: float,
    variant: AttentionVariant,
) -> torch.Tensor:
    """One sequence: q[n, Hq, D] are its last n tokens, k and v [kv_len, Hk, D] float32."""
    n, num_heads, _ = q.shape
    kv_len, num_kv_heads, _ = k.shape
    group = num_heads // num_kv_heads
    k_wide = k.repeat_interleave(group, dim=1)
    v_wide = v.repeat_interleave(group, dim=1)
    scores = torch.einsum("qhd,khd->hqk", q.float(), k_wide) * scale
    if softcap > 0:
        scores = softcap * torch.tanh(scores / softcap)
    key = torch.arange(kv_len, device=q.device)
    query = torch.arange(kv_len - n, kv_len, device=q.device)
    if variant.slopes is not None:
        scores = scores + variant.slopes[:, None, None] * (key - query.unsqueeze(1))
    scores = scores.masked_fill(unseen(query, key, window, variant, num_heads), -torch.inf)
    if variant.sinks is not None:
        scores = torch.cat((scores, variant.sinks[:, None, None].expand(-1, n, 1)), dim=-1)
    weights = scores.softmax(dim=-1)[..., :kv_len]
    return torch.einsum("hqk,khd->qhd", weights, v_wide).to(q.dtype)
