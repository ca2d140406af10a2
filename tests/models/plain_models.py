"""Families that transformers lacks, as plain as their papers: whole sequences, no cache, float32.

Parameters have the names of the published checkpoints. Called as transformers' models are:
``model(ids [1, n]).logits``.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, bias: torch.Tensor
) -> torch.Tensor:
    """Softmax of q k^T * scale + bias, times v; for q [heads, n, d], bias [heads or 1, n, n]."""
    scores = q @ k.transpose(1, 2) * scale + bias
    return scores.softmax(-1) @ v


def causal(n: int) -> torch.Tensor:
    return torch.full((1, n, n), -torch.inf).triu(1)


def heads(x: torch.Tensor, count: int) -> torch.Tensor:
    """[n, count * d] -> [count, n, d]."""
    return x.unflatten(-1, (count, -1)).transpose(0, 1)


def joined(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(0, 1).flatten(1)


class RMSNorm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.weight


class _Whole(nn.Module):
    """Turns [1, n] ids into what transformers returns."""

    def scores(self, ids: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.scores(ids[0])[None])


class Baichuan13B(_Whole):
    """ALiBi (arXiv:2108.12409) instead of rotary positions; a head of rows of length one."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["rms_norm_eps"]
        inner, self.num_heads = config["intermediate_size"], config["num_attention_heads"]
        self.normalized = config["vocab_size"] != 64000
        layers = []
        for _ in range(config["num_hidden_layers"]):
            attention = nn.ModuleDict(
                {
                    "W_pack": nn.Linear(width, 3 * width, bias=False),
                    "o_proj": nn.Linear(width, width, bias=False),
                }
            )
            mlp = nn.ModuleDict(
                {
                    "gate_proj": nn.Linear(width, inner, bias=False),
                    "up_proj": nn.Linear(width, inner, bias=False),
                    "down_proj": nn.Linear(inner, width, bias=False),
                }
            )
            parts: dict[str, nn.Module] = {"self_attn": attention, "mlp": mlp}
            parts["input_layernorm"] = RMSNorm(width, eps)
            parts["post_attention_layernorm"] = RMSNorm(width, eps)
            layers.append(nn.ModuleDict(parts))
        self.model: Any = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(config["vocab_size"], width),
                "layers": nn.ModuleList(layers),
                "norm": RMSNorm(width, eps),
            }
        )
        self.lm_head = nn.Linear(width, config["vocab_size"], bias=False)

    def scores(self, ids: torch.Tensor) -> torch.Tensor:
        x, n = self.model["embed_tokens"](ids), len(ids)
        slopes = torch.tensor(self._slopes(self.num_heads))
        bias = causal(n) + slopes[:, None, None] * torch.arange(n)
        for layer in self.model["layers"]:
            attention, mlp = layer["self_attn"], layer["mlp"]
            qkv = attention["W_pack"](layer["input_layernorm"](x)).chunk(3, dim=-1)
            q, k, v = (heads(part, self.num_heads) for part in qkv)
            x = x + attention["o_proj"](joined(attend(q, k, v, q.shape[-1] ** -0.5, bias)))
            y = layer["post_attention_layernorm"](x)
            x = x + mlp["down_proj"](F.silu(mlp["gate_proj"](y)) * mlp["up_proj"](y))
        head = self.lm_head.weight
        head = F.normalize(head) if self.normalized else head
        return self.model["norm"](x) @ head.t()

    @classmethod
    def _slopes(cls, n: int) -> list[float]:
        """The recursion of the paper's appendix."""
        below = 2 ** math.floor(math.log2(n))
        if below == n:
            start = 2 ** (-(2 ** -(math.log2(n) - 3)))
            return [start ** (i + 1) for i in range(n)]
        return cls._slopes(below) + cls._slopes(2 * below)[0::2][: n - below]


def rotated(x: torch.Tensor, inverse: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    """Halves of each head [heads, n, d] turned by position * inverse (arXiv:2104.09864)."""
    angles = torch.arange(x.shape[1])[:, None] * inverse
    cos, sin = angles.cos() * factor, angles.sin() * factor
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def inverse_frequencies(theta: float, dim: int) -> torch.Tensor:
    return theta ** -(torch.arange(0, dim, 2) / dim)


class Phi3Small(_Whole):
    """Block-sparse attention, GEGELU and muP (arXiv:2404.14219, section 2, and its files)."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        width, eps = config["hidden_size"], config["layer_norm_epsilon"]
        inner, groups = config["ff_intermediate_size"], config["num_key_value_heads"]
        self.head_dim = width // config["num_attention_heads"]
        layers = []
        for _ in range(config["num_hidden_layers"]):
            attention = nn.ModuleDict(
                {
                    "query_key_value": nn.Linear(width, width + 2 * groups * self.head_dim),
                    "dense": nn.Linear(width, width),
                }
            )
            mlp = nn.ModuleDict(
                {"up_proj": nn.Linear(width, 2 * inner), "down_proj": nn.Linear(inner, width)}
            )
            parts: dict[str, nn.Module] = {"self_attn": attention, "mlp": mlp}
            parts["input_layernorm"] = nn.LayerNorm(width, eps)
            parts["post_attention_layernorm"] = nn.LayerNorm(width, eps)
            layers.append(nn.ModuleDict(parts))
        self.model: Any = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(config["vocab_size"], width),
                "layers": nn.ModuleList(layers),
                "final_layernorm": nn.LayerNorm(width, eps),
            }
        )

    def scores(self, ids: torch.Tensor) -> torch.Tensor:
        config, table = self.config, self.model["embed_tokens"].weight
        x = table[ids] * config["mup_embedding_multiplier"]
        for index, layer in enumerate(self.model["layers"]):
            y = layer["input_layernorm"](x)
            dense = (index + 1) % config["dense_attention_every_n_layers"] == 0
            x = x + layer["self_attn"]["dense"](self._attention(layer, y, dense))
            y = layer["mlp"]["up_proj"](layer["post_attention_layernorm"](x))
            limit = config["gegelu_limit"]
            a, b = y[:, 0::2].clamp(max=limit), y[:, 1::2].clamp(-limit, limit)
            x = x + layer["mlp"]["down_proj"](a * torch.sigmoid(1.702 * a) * (b + 1))
        logits = self.model["final_layernorm"](x) @ table.t() / config["mup_width_multiplier"]
        logits[:, config["dummy_token_indices"]] = torch.finfo(torch.float32).min
        return logits

    def _attention(self, layer: Any, x: torch.Tensor, dense: bool) -> torch.Tensor:
        config, n, d = self.config, len(x), self.head_dim
        groups = config["num_key_value_heads"]
        per_group = config["num_attention_heads"] // groups
        fused = layer["self_attn"]["query_key_value"](x).view(n, groups, per_group + 2, d)
        q = fused[:, :, :per_group].flatten(1, 2).transpose(0, 1)
        k = fused[:, :, per_group].repeat_interleave(per_group, dim=1).transpose(0, 1)
        v = fused[:, :, per_group + 1].repeat_interleave(per_group, dim=1).transpose(0, 1)
        inverse, factor = self._rope()
        q, k = rotated(q, inverse, factor), rotated(k, inverse, factor)
        bias = causal(n) + (0 if dense else self._pattern(n))
        return joined(attend(q, k, v, config["mup_attn_multiplier"] / d, bias))

    def _rope(self) -> tuple[torch.Tensor, float]:
        inverse = inverse_frequencies(self.config["rope_embedding_base"], self.head_dim)
        rope = self.config.get("rope_scaling")
        if rope is None:
            return inverse, 1.0
        return inverse / torch.tensor(rope["long_factor"]), rope["long_mscale"]

    def _pattern(self, n: int) -> torch.Tensor:
        """One query and key after the other, as the description says it."""
        config = self.config
        size, stride = config["blocksparse_block_size"], config["blocksparse_vert_stride"]
        count = config["num_attention_heads"]
        step = 0 if config["blocksparse_homo_head_pattern"] else max(1, stride // count)
        bias = torch.full((count, n, n), -torch.inf)
        for head in range(count):
            for query in range(0, n, size):
                for key in range(0, query + 1, size):
                    near = (query - key) // size < config["blocksparse_num_local_blocks"]
                    if near or (key // size + head * step + 1) % stride == 0:
                        bias[head, query : query + size, key : key + size] = 0
        return bias


class Grok1(_Whole):
    """Soft caps, sandwich norms, multipliers and two of eight GELU experts, as xAI released it.

    ``config["xai_names"]`` picks the other of the two sets of names that conversions have.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        width, vocabulary = config["hidden_size"], config["vocab_size"]
        layers = [self._layer(width) for _ in range(config["num_hidden_layers"])]
        self.model: Any = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(vocabulary, width),
                "layers": nn.ModuleList(layers),
                "norm": RMSNorm(width, config["rms_norm_eps"]),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def _layer(self, width: int) -> nn.ModuleDict:
        config, xai = self.config, self.config["xai_names"]
        names = ("linear", "linear_v", "linear_1") if xai else ("w1", "w3", "w2")
        inner, dim = config["intermediate_size"], config["head_dim"]
        shapes = [(width, inner), (width, inner), (inner, width)]
        experts = nn.ModuleList(
            nn.ModuleDict(
                {name: nn.Linear(*s, bias=False) for name, s in zip(names, shapes, strict=True)}
            )
            for _ in range(config["num_experts"])
        )
        q, kv = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
        attention = {
            "q_proj": nn.Linear(width, q, bias=False),
            "k_proj": nn.Linear(width, kv, bias=False),
            "v_proj": nn.Linear(width, kv, bias=False),
            "o_proj": nn.Linear(q, width, bias=False),
        }
        gate = nn.Linear(width, config["num_experts"], bias=False)
        parts: dict[str, nn.Module] = {
            "attn" if xai else "self_attn": nn.ModuleDict(attention),
            "moe_block" if xai else "block_sparse_moe": nn.ModuleDict(
                {"gate": gate, "experts": experts}
            ),
        }
        for name in ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm"):
            parts[name] = RMSNorm(width, config["rms_norm_eps"])
        return nn.ModuleDict(parts)

    def scores(self, ids: torch.Tensor) -> torch.Tensor:
        config, xai = self.config, self.config["xai_names"]
        x = self.model["embed_tokens"](ids) * config["embedding_multiplier_scale"]
        for layer in self.model["layers"]:
            attention, moe = (
                layer[name]
                for name in (("attn", "moe_block") if xai else ("self_attn", "block_sparse_moe"))
            )
            y = self._attention(attention, layer["pre_attn_norm"](x))
            x = x + layer["post_attn_norm"](y)
            x = x + layer["post_moe_norm"](self._mixture(moe, layer["pre_moe_norm"](x)))
        return self.lm_head(self.model["norm"](x)) * config["output_multiplier_scale"]

    def _attention(self, attention: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
        config, n = self.config, len(x)
        count, groups, cap = config["num_attention_heads"], config["num_key_value_heads"], 30.0
        inverse = inverse_frequencies(10_000.0, config["head_dim"])
        q = rotated(heads(attention["q_proj"](x), count), inverse)
        k = rotated(heads(attention["k_proj"](x), groups), inverse)
        v = heads(attention["v_proj"](x), groups)
        k, v = (part.repeat_interleave(count // groups, dim=0) for part in (k, v))
        scores = q @ k.transpose(1, 2) * config["attn_output_multiplier"]
        weights = (cap * torch.tanh(scores / cap) + causal(n)).softmax(-1)
        return attention["o_proj"](joined(weights @ v))

    def _mixture(self, moe: Any, x: torch.Tensor) -> torch.Tensor:
        cap = 30.0
        chances = (cap * torch.tanh(moe["gate"](x) / cap)).softmax(-1)
        best = chances.topk(self.config["num_experts_per_tok"], dim=-1)
        rows = []
        for row, weights, chosen in zip(x, best.values, best.indices, strict=True):
            total = torch.zeros_like(row)
            for weight, index in zip(weights, chosen.tolist(), strict=True):
                gate, up, down = moe["experts"][index].values()
                total = total + weight * down(F.gelu(gate(row), approximate="tanh") * up(row))
            rows.append(total)
        return torch.stack(rows)
