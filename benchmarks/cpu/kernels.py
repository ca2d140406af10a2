"""Times the CPU kernels beside torch doing the same work, and prints the ratios.

    python benchmarks/cpu/kernels.py [--isa avx2] [--only linear] [--seconds 0.2]

Both sides run alternately on the same tensors, of which there are several sets so that the last
one is not found in the cache; the best time of each side counts. GB/s is the memory that has to be
read (weights, or cached keys and values), GFLOP/s counts a multiply and an add as two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.model_executor.forward_batch import AttentionMeta

SETS = 8
Work = Callable[[int], object]


@dataclass(frozen=True)
class Row:
    name: str
    read_bytes: int
    flops: int
    ours: Work
    """Called with the index of the set of tensors to use."""
    torchs: Work


def best_times(works: tuple[Work, Work], seconds: float) -> tuple[float, float]:
    """Least time of each, measured in turns."""
    best = [float("inf"), float("inf")]
    end = time.perf_counter() + seconds
    turn = 0
    while turn < 3 or time.perf_counter() < end:
        for side, work in enumerate(works):
            start = time.perf_counter()
            work(turn % SETS)
            elapsed = time.perf_counter() - start
            if turn > 0:
                best[side] = min(best[side], elapsed)
        turn += 1
    return best[0], best[1]


def report(row: Row, seconds: float) -> None:
    ours, torchs = best_times((row.ours, row.torchs), seconds)
    figures = [
        f"{seconds * 1e3:9.3f} ms {row.read_bytes / seconds / 1e9:6.1f} GB/s "
        f"{row.flops / seconds / 1e9:7.1f} GFLOP/s"
        for seconds in (ours, torchs)
    ]
    print(f"{row.name:44} | {figures[0]} | {figures[1]} | {torchs / ours:6.2f} x", flush=True)


def linear_row(kernels: CpuKernels, dtype: torch.dtype, m: int, n: int, k: int) -> Row:
    weights = [torch.randn(n, k).to(dtype) for _ in range(SETS)]
    packed = [kernels.pack_linear(weight) for weight in weights]
    x = torch.randn(m, k).to(dtype)
    return Row(
        f"linear {_name(dtype)} M={m} N={n} K={k}",
        n * k * dtype.itemsize,
        2 * m * n * k,
        lambda i: kernels.linear(x, packed[i]),
        lambda i: F.linear(x, weights[i]),
    )


def attention_row(
    kernels: CpuKernels,
    dtype: torch.dtype,
    batch: int,
    q_len: int,
    kv_len: int,
    heads: tuple[int, int, int],
) -> Row:
    """``heads``: query heads, key/value heads, head_dim. torch gathers the slots first."""
    num_heads, num_kv_heads, head_dim = heads
    slots = batch * kv_len
    caches = [torch.randn(2, slots, num_kv_heads, head_dim).to(dtype) for _ in range(SETS)]
    table = torch.arange(slots, dtype=torch.int32)
    indptr = torch.arange(batch + 1, dtype=torch.int32) * q_len
    starts = torch.arange(batch) * kv_len
    lengths = torch.full((batch,), kv_len, dtype=torch.int32)
    meta = AttentionMeta(indptr, table, starts, lengths, q_len, kv_len)
    q = torch.randn(batch * q_len, num_heads, head_dim).to(dtype)
    q_padded = q.unflatten(0, (batch, q_len)).transpose(1, 2).contiguous()
    mask = torch.ones(q_len, kv_len, dtype=torch.bool).tril(kv_len - q_len)
    rows = table.long().view(batch, kv_len)
    scale = head_dim**-0.5

    def ours(i: int) -> torch.Tensor:
        k, v = caches[i]
        return kernels.attention(q, k, v, meta, scale=scale, window=0, softcap=0.0)

    def torchs(i: int) -> torch.Tensor:
        k, v = (cache[rows].transpose(1, 2) for cache in caches[i])
        return F.scaled_dot_product_attention(
            q_padded, k, v, attn_mask=mask, scale=scale, enable_gqa=True
        )

    seen = sum(kv_len - q_len + 1 + i for i in range(q_len))
    return Row(
        f"attention {_name(dtype)} {batch}x{q_len} of {kv_len}, "
        f"{num_heads}/{num_kv_heads}x{head_dim}",
        2 * slots * num_kv_heads * head_dim * dtype.itemsize,
        4 * batch * seen * num_heads * head_dim,
        ours,
        torchs,
    )


def norm_row(kernels: CpuKernels, dtype: torch.dtype, tokens: int, width: int) -> Row:
    x = [torch.randn(tokens, width).to(dtype) for _ in range(SETS)]
    residual = torch.randn(tokens, width).to(dtype)
    weight = torch.randn(width).to(dtype)

    def torchs(i: int) -> torch.Tensor:
        residual.add_(x[i])
        return F.rms_norm(residual, (width,), weight, 1e-5)

    return Row(
        f"add_rms_norm {_name(dtype)} {tokens}x{width}",
        2 * tokens * width * dtype.itemsize,
        0,
        lambda i: kernels.add_rms_norm(x[i], residual, weight, 1e-5),
        torchs,
    )


def silu_row(kernels: CpuKernels, dtype: torch.dtype, tokens: int, width: int) -> Row:
    x = [torch.randn(tokens, 2 * width).to(dtype) for _ in range(SETS)]

    def torchs(i: int) -> torch.Tensor:
        gate, up = x[i].chunk(2, dim=-1)
        return F.silu(gate) * up

    return Row(
        f"silu_and_mul {_name(dtype)} {tokens}x{width}",
        2 * tokens * width * dtype.itemsize,
        0,
        lambda i: kernels.silu_and_mul(x[i]),
        torchs,
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--isa", default="native", help="code path: native, avx512, avx2, portable")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.3, help="time per row")
    args = parser.parse_args()
    kernels = CpuKernels(args.isa)
    bf16, f32 = torch.bfloat16, torch.float32
    small, large = (16, 4, 64), (32, 8, 128)
    rows: list[Callable[[], Row]] = [
        *(lambda m=m: linear_row(kernels, bf16, m, 4096, 1024) for m in (1, 4, 8, 16, 32, 64, 256)),
        *(lambda m=m: linear_row(kernels, f32, m, 4096, 1024) for m in (1, 8, 64)),
        lambda: attention_row(kernels, bf16, 16, 1, 1024, small),
        lambda: attention_row(kernels, bf16, 1, 1, 4096, small),
        lambda: attention_row(kernels, bf16, 8, 1, 1024, large),
        lambda: attention_row(kernels, bf16, 1, 512, 512, small),
        lambda: attention_row(kernels, bf16, 1, 512, 2560, small),
        lambda: attention_row(kernels, f32, 16, 1, 1024, small),
        lambda: attention_row(kernels, f32, 1, 512, 2560, small),
        lambda: norm_row(kernels, bf16, 1, 1024),
        lambda: norm_row(kernels, bf16, 512, 1024),
        lambda: silu_row(kernels, bf16, 1, 4096),
        lambda: silu_row(kernels, bf16, 512, 4096),
    ]
    print(f"{kernels.name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':44} | {'ours':40} | {'torch':40} | ours is")
    for make in rows:
        row = make()
        if args.only in row.name:
            report(row, args.seconds)


if __name__ == "__main__":
    main()
