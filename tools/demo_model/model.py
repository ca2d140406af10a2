"""A plain-torch Llama whose parameter names are those of Hugging Face checkpoints.

The training batches hold sequences of very different lengths (a greeting has 40 tokens, a tool
prompt 500).  Instead of padding all of them to the longest, a batch is a flat list of tokens made
of rectangular *groups* (rows x length): every matrix multiplication runs over the flat list, only
attention looks at one group at a time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Group = tuple[int, int]
"""Rows and row length of one rectangle of a flat batch."""


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the network; the names are those of ``config.json``."""

    vocab_size: int
    hidden_size: int = 256
    intermediate_size: int = 704
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def as_dict(self) -> dict[str, float | int]:
        """The fields as a plain dictionary, for checkpoints."""
        return asdict(self)


class Attention(nn.Module):
    """Grouped-query causal attention with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        width = config.hidden_size
        kv_width = self.kv_heads * self.head_dim
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, groups: list[Group]) -> Tensor:
        """Attend within every row of every group; ``x`` is the flat batch.

        Spelled out, since the rows are short: with PyTorch's fused attention a step took about a
        tenth longer on a CPU.
        """
        q = _rotate(self.q_proj(x).view(-1, self.heads, self.head_dim), cos, sin)
        k = _rotate(self.k_proj(x).view(-1, self.kv_heads, self.head_dim), cos, sin)
        v = self.v_proj(x).view(-1, self.kv_heads, self.head_dim)
        q = q * self.head_dim**-0.5
        out = []
        start = 0
        for group in groups:
            end = start + group[0] * group[1]
            out.append(self._attend(q[start:end], k[start:end], v[start:end], group))
            start = end
        mixed: Tensor = self.o_proj(torch.cat(out))
        return mixed

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, group: Group) -> Tensor:
        """Causal attention of one group; query heads that share keys are one matrix."""
        rows, length = group
        width, share = self.head_dim, self.heads // self.kv_heads
        pairs = rows * self.kv_heads
        q = q.view(rows, length, self.kv_heads, share, width).permute(0, 2, 3, 1, 4)
        k = k.view(rows, length, self.kv_heads, width).transpose(1, 2).reshape(pairs, length, width)
        v = v.view(rows, length, self.kv_heads, width).transpose(1, 2).reshape(pairs, length, width)
        scores = torch.bmm(q.reshape(pairs, share * length, width), k.transpose(1, 2))
        future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.view(pairs * share, length, length)
        shares = scores.float().masked_fill(future, float("-inf")).softmax(-1).to(v.dtype)
        mixed = torch.bmm(shares.view(pairs, share * length, length), v)
        heads = mixed.view(rows, self.heads, length, width)
        return heads.transpose(1, 2).reshape(rows * length, -1)


class Mlp(nn.Module):
    """The gated SiLU feed-forward block."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block to the flat batch."""
        down: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return down


class Layer(nn.Module):
    """One pre-norm decoder layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, groups: list[Group]) -> Tensor:
        """Apply attention and feed-forward with residuals."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, groups)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Backbone(nn.Module):
    """Embedding, layers and final norm: what checkpoints call ``model``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class DemoLlama(nn.Module):
    """Llama with tied embeddings, trained on flat grouped batches."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            std = 0.02 if "embed" in name else parameter.shape[1] ** -0.5
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std /= (2 * config.num_hidden_layers) ** 0.5
            nn.init.normal_(parameter, std=std)
        half = config.head_dim // 2
        frequency = config.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.arange(config.max_position_embeddings).float()[:, None] * frequency
        angle = torch.cat((angle, angle), dim=-1)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def hidden(self, tokens: Tensor, groups: list[Group]) -> Tensor:
        """Final hidden states of a flat batch."""
        cos = torch.cat([self.cos[:length].repeat(rows, 1) for rows, length in groups])[:, None]
        sin = torch.cat([self.sin[:length].repeat(rows, 1) for rows, length in groups])[:, None]
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, cos, sin, groups)
        normed: Tensor = self.model.norm(x)
        return normed

    def loss(
        self,
        tokens: Tensor,
        positions: Tensor,
        targets: Tensor,
        weights: Tensor,
        groups: list[Group],
    ) -> Tensor:
        """Weighted mean cross entropy of the tokens that follow the learned ``positions``.

        Logits are computed for those positions only: most tokens of a chat prompt are read, not
        learned, and the output projection is the widest matrix of the network.
        """
        hidden = self.hidden(tokens, groups)[positions]
        return self.head_loss(hidden, targets, weights)

    def head_loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The loss of hidden states: one function, so that it can be compiled as a whole."""
        logits = F.linear(hidden, self.model.embed_tokens.weight).float()
        losses = F.cross_entropy(logits, targets, reduction="none")
        return (losses * weights).sum() / weights.sum()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the half-split layout of Hugging Face."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)
