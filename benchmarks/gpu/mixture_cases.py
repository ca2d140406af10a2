"""Latent attention and mixtures of experts, at the sizes of models that have them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from cases import TINY, Case, Sizes, attend, make_meta, query_pairs, randn

from sglang.srt.kernels.interface import Activation, Kernels, PackedExperts
from sglang.srt.kernels.kv_cache import KVCache, bytes_per_head, latent_cache, write_latent
from sglang.srt.kernels.routing import Routing

LATENT, ROTARY = 512, 64


def make_latent(slots: int, dtype: torch.dtype, device: str) -> KVCache:
    rows = torch.zeros(slots, 1, LATENT + ROTARY, device=device).to(dtype)
    scale = torch.zeros(slots, 1, device=device) if dtype == torch.int8 else None
    cache = latent_cache(rows, LATENT, scale)
    values = torch.randn(slots, 1, LATENT + ROTARY, device=device)
    write_latent(cache, torch.arange(slots, device=device), values)
    return cache


def latent(s: Sizes, device: str) -> Iterator[Case]:
    """Latent attention as in DeepSeek-V2-Lite (16 heads) and V3 (128)."""
    n, b, bf16 = s.kv_len, s.batch, torch.bfloat16
    long, many = ([1], [2 * n]), ([1] * b, [n] * b)
    mixed = ([1] * (b // 2) + [n // 4], [n // 2] * (b // 2) + [n])
    for name, (q_lens, kv_lens), heads, kv_dtype in (
        ("decode, one long, 16 heads", long, 16, bf16),
        ("decode, many, 16 heads", many, 16, bf16),
        ("decode, many, 128 heads", many, 128, bf16),
        ("decode, many, 16 heads, int8 cache", many, 16, torch.int8),
        ("extend, prompt, 16 heads", ([n], [n]), 16, bf16),
        ("mixed batch, 128 heads", mixed, 128, bf16),
    ):
        heads = 18 if s is TINY else heads
        cache = make_latent(sum(kv_lens), kv_dtype, device)
        q = randn(sum(q_lens), heads, LATENT + ROTARY, device=device)
        meta = make_meta(q_lens, kv_lens, device)
        decodes = max(q_lens) == 1
        operations = 2 * query_pairs(q_lens, kv_lens) * heads * (2 * LATENT + ROTARY)
        yield Case(
            f"latent attention: {name}",
            partial(attend, q, cache, meta, {}),
            bytes_per_head(LATENT + ROTARY, kv_dtype) * sum(kv_lens) if decodes else 0.0,
            0.0 if decodes else operations,
        )
    yield from _latent_rows(s, device)


def _latent_rows(s: Sizes, device: str) -> Iterator[Case]:
    """What stands before the attention."""
    t, heads, nope = s.tokens, 16, 128
    q = randn(t, heads * (nope + ROTARY), device=device)
    row, norm = randn(t, LATENT + ROTARY, device=device), randn(LATENT, device=device)
    angles = torch.randn(t, ROTARY // 2, device=device)
    table = torch.cat((angles.cos(), angles.sin()), dim=1)
    positions = torch.arange(t, device=device, dtype=torch.int32)
    slots = torch.randperm(t, device=device).int()

    def write(kernels: Kernels) -> list[torch.Tensor]:
        mine, cache = q.clone(), make_latent(t, torch.bfloat16, device)
        kernels.rope_and_write_latent(
            mine, row, positions, table, cache, slots,
            num_heads=heads, norm=norm, norm_eps=1e-6, interleaved=True,
        )  # fmt: skip
        return [mine, cache.k]

    yield Case("rope_and_write_latent", write)
    matrices = nope**-0.5 * randn(heads, LATENT, nope, device=device)
    packed = PackedExperts(matrices, LATENT, nope)
    tokens = q.unflatten(1, (heads, nope + ROTARY))
    yield Case(
        "linear_heads",
        lambda kernels: [
            kernels.linear_heads(tokens[..., :nope], packed, beside=tokens[..., nope:])
        ],
        operations=2.0 * t * heads * nope * LATENT,
    )


def experts(s: Sizes, device: str) -> Iterator[Case]:
    """Mixtures as in Qwen3-30B-A3B, Mixtral 8x7B and gpt-oss-20b, and their routers."""
    mixtures: list[tuple[str, int, int, int, int, Activation, list[int]]] = [
        ("128 small experts", 2048, 768, 128, 8, "silu", [1, s.batch, s.tokens]),
        ("8 large experts", 4096, 14336, 8, 2, "silu", [1, s.tokens]),
        ("32 experts with biases", 2880, 2880, 32, 4, "clamped_swiglu", [s.batch]),
    ]
    for name, hidden, inner, count, top_k, kind, rows in mixtures:
        if s is TINY:
            hidden, inner, count, rows = 72, 40, 8, rows[-1:]
        biased = kind == "clamped_swiglu"
        up = _pack(count, 2 * inner, hidden, biased=biased, device=device)
        down = _pack(count, hidden, inner, biased=biased, device=device)
        for tokens in rows:
            x, scores = randn(tokens, hidden, device=device), torch.randn(tokens, count)
            weights, chosen = scores.softmax(-1).topk(top_k)
            chosen, weights = chosen.int().to(device), weights.to(device)

            def run(
                kernels: Kernels, x=x, chosen=chosen, weights=weights, up=up, down=down, kind=kind
            ) -> list[torch.Tensor]:
                return [kernels.expert_mlp(x, chosen, weights, up, down, kind=kind, limit=7.0)]

            few = tokens * top_k < 8 * count
            read = 6.0 * inner * hidden * len(chosen.unique())
            yield Case(
                f"expert_mlp: {name}, {tokens} rows",
                run,
                read if few else 0.0,
                0.0 if few else 6.0 * tokens * top_k * inner * hidden,
            )
    yield from _routers(s, device)


def _pack(count: int, n: int, k: int, *, biased: bool, device: str) -> PackedExperts:
    data = torch.randn(count, n, k, device=device, dtype=torch.bfloat16) * k**-0.5
    return PackedExperts(data, n, k, bias=randn(count, n, device=device) if biased else None)


def _routers(s: Sizes, device: str) -> Iterator[Case]:
    """Compared are scores and weights: of experts that are nearly equal either may be chosen."""
    for name, count, routing in (
        ("softmax", 128, Routing(8, renormalize=True)),
        ("softmax in groups", 160, Routing(6, num_groups=8, top_groups=3)),
        ("sigmoid in groups", 256, Routing(8, "sigmoid", True, 2.5, 8, 4, "best_two")),
        ("sparsemixer", 16, Routing(2, "sparsemixer", jitter=0.01)),
    ):
        logits = torch.randn(s.tokens, count, device=device)
        correction = 0.1 * torch.randn(count, device=device)

        def run(
            kernels: Kernels, logits=logits, correction=correction, routing=routing
        ) -> list[torch.Tensor]:
            corrected = correction if routing.score == "sigmoid" else None
            chosen, weights = kernels.route(logits, corrected, routing)
            scores = logits if corrected is None else logits.sigmoid() + corrected
            return [scores.gather(1, chosen.long()), weights]

        yield Case(f"route: {name}", run)
