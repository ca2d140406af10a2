"""The mixtures of experts that transformers lacks, as plain as ``plain_models``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.plain_models import RMSNorm, _Whole, attend, causal, heads, joined


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Mixture(nn.Module):
    """Experts by the softmax of all scores, beside experts for everybody (arXiv:2401.06066)."""

    def __init__(
        self, router: str, width: int, inner: int, experts: int, shared: int, best: int, whole: bool
    ) -> None:
        super().__init__()
        self.name, self.best, self.whole = router, best, whole
        setattr(self, router, nn.Linear(width, experts, bias=False))
        self.experts = nn.ModuleList(GatedMLP(width, inner) for _ in range(experts))
        self.shared_experts = GatedMLP(width, inner * shared) if shared else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.of_token(token) for token in x])

    def of_token(self, x: torch.Tensor) -> torch.Tensor:
        weights, chosen = getattr(self, self.name)(x).softmax(-1).topk(self.best)
        if self.whole:
            weights = weights / weights.sum()
        out = self.shared_experts(x) if self.shared_experts else torch.zeros_like(x)
        for weight, expert in zip(weights, chosen.tolist(), strict=True):
            out = out + weight * self.experts[expert](x)
        return out


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any], mlp: nn.Module) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["rms_norm_eps"]
        self.dim = width // config["num_attention_heads"]
        kv_width = self.dim * config["num_key_value_heads"]
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": nn.Linear(width, width, bias=False),
                "k_proj": nn.Linear(width, kv_width, bias=False),
                "v_proj": nn.Linear(width, kv_width, bias=False),
                "o_proj": nn.Linear(width, width, bias=False),
            }
        )
        self.mlp = mlp
        self.input_layernorm = RMSNorm(width, eps)
        self.post_attention_layernorm = RMSNorm(width, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.input_layernorm(x)
        q, k, v = (
            heads(
                self.self_attn[f"{part}_proj"](y),
                self.self_attn[f"{part}_proj"].out_features // self.dim,
            )
            for part in "qkv"
        )
        k, v = (part.repeat_interleave(len(q) // len(part), dim=0) for part in (k, v))
        found = attend(_rotated(q), _rotated(k), v, self.dim**-0.5, causal(len(x)))
        x = x + self.self_attn["o_proj"](joined(found))
        return x + self.mlp(self.post_attention_layernorm(x))


def _rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv:2104.09864) of base 10000, x [heads, n, d]."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class _MoEDecoder(_Whole):
    def __init__(self, config: dict[str, Any], mlps: list[nn.Module]) -> None:
        super().__init__()
        width, vocabulary = config["hidden_size"], config["vocab_size"]
        layers = [_Layer(config, mlp) for mlp in mlps]
        self.layers_in_order = tuple(layers)
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(vocabulary, width),
                "layers": nn.ModuleList(layers),
                "norm": RMSNorm(width, config["rms_norm_eps"]),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def scores(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.model["embed_tokens"](ids)
        for layer in self.layers_in_order:
            x = layer(x)
        return self.lm_head(self.model["norm"](x))


class DeepSeek1(_MoEDecoder):
    """Dense layers first, then fine-grained experts (arXiv:2401.06066)."""

    def __init__(self, config: dict[str, Any]) -> None:
        width, inner = config["hidden_size"], config["moe_intermediate_size"]
        experts, shared = config["n_routed_experts"], config["n_shared_experts"]
        best, whole = config["num_experts_per_tok"], config["norm_topk_prob"]
        dense, every = config["first_k_dense_replace"], config["moe_layer_freq"]
        mlps: list[nn.Module] = []
        for index in range(config["num_hidden_layers"]):
            if index >= dense and index % every == 0:
                mlps.append(Mixture("gate", width, inner, experts, shared, best, whole))
            else:
                mlps.append(GatedMLP(width, config["intermediate_size"]))
        super().__init__(config, mlps)


class XverseMoE(_MoEDecoder):
    """Experts in every layer, by another name for the router."""

    def __init__(self, config: dict[str, Any]) -> None:
        width, inner = config["hidden_size"], config["intermediate_size"]
        experts, shared = config["num_experts"], config["num_shared_experts"]
        best, whole = config["moe_top_k"], config["norm_topk_prob"]
        layers = range(config["num_hidden_layers"])
        super().__init__(
            config,
            [Mixture("router", width, inner, experts, shared, best, whole) for _ in layers],
        )
