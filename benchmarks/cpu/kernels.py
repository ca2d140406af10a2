"""Times the CPU kernels beside torch doing the same work, and prints the ratios.

Products with quantized weights stand beside our own with bfloat16 weights.

    python benchmarks/cpu/kernels.py [--isa avx2] [--only linear] [--seconds 0.2]

Both sides run alternately on the same tensors, of which there are several sets so that the last
one is not found in the cache; the best time of each side counts. GB/s is the memory that has to be
read (weights, or cached keys and values), GFLOP/s counts a multiply and an add as two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.kv_cache import KV_CACHE_DTYPES, bytes_per_head, write_kv
from sglang.srt.kernels.quantization import QuantizedWeight, WeightScheme
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.forward_batch import AttentionMeta

SETS = 8
OUT_OF_CACHE = 96 << 20
"""Bytes that no cache holds."""

SCHEMES = (
    WeightScheme(8),
    WeightScheme(8, activation_bits=16),
    WeightScheme(4, 32),
    WeightScheme(4, 128),
    WeightScheme(4, 32, zeros=True),
    WeightScheme(4, 128, zeros=True),
)
TINY, SMALL, LARGE = (9, 3, 64), (16, 4, 64), (32, 8, 128)
ATTENTION = (
    *((torch.bfloat16, 16, 1, 1024, heads) for heads in (TINY, SMALL, LARGE)),
    *((torch.bfloat16, 1, 1, length, SMALL) for length in (1024, 8192, 32768)),
    *((torch.bfloat16, 1, 2048, 2048, heads) for heads in (TINY, SMALL)),
    *((torch.bfloat16, 1, 512, 8704, heads) for heads in (TINY, SMALL)),
    (torch.bfloat16, 1, 512, 2560, LARGE),
    (torch.float32, 16, 1, 1024, SMALL),
    (torch.float32, 1, 512, 2560, SMALL),
)
"""Type, sequences, new tokens of each, all its tokens, heads: decoding, then prompts."""

Work = Callable[[int], object]


@dataclass(frozen=True)
class Row:
    name: str
    read_bytes: int
    flops: int
    ours: Work
    """Called with the index of the set of tensors to use."""
    torchs: Work
    sets: int = SETS
    torch_read_bytes: int = 0
    """Where it is another number."""


def best_times(works: tuple[Work, Work], sets: int, seconds: float) -> tuple[float, float]:
    """Least time of each, measured in turns."""
    best = [float("inf"), float("inf")]
    end = time.perf_counter() + seconds
    turn = 0
    while turn < 3 or time.perf_counter() < end:
        for side, work in enumerate(works):
            start = time.perf_counter()
            work(turn % sets)
            elapsed = time.perf_counter() - start
            if turn > 0:
                best[side] = min(best[side], elapsed)
        turn += 1
    return best[0], best[1]


def report(row: Row, seconds: float) -> None:
    ours, torchs = best_times((row.ours, row.torchs), row.sets, seconds)
    both = ((ours, row.read_bytes), (torchs, row.torch_read_bytes or row.read_bytes))
    figures = [
        f"{seconds * 1e3:9.3f} ms {read_bytes / seconds / 1e9:6.1f} GB/s "
        f"{row.flops / seconds / 1e9:7.1f} GFLOP/s"
        for seconds, read_bytes in both
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


def quantized_row(kernels: CpuKernels, scheme: WeightScheme, m: int, n: int, k: int) -> Row:
    weight, x = torch.randn(n, k).bfloat16(), torch.randn(m, k).bfloat16()
    codes = kernels.quantize_weight(weight, replace(scheme, zeros=False))
    if scheme.zeros:
        scales = codes.scales
        codes = QuantizedWeight(codes.codes, scales, scheme, torch.ones_like(scales))
    size = kernels.pack_linear(codes).data.numel()
    sets = max(SETS, OUT_OF_CACHE // size)
    quantized = [kernels.pack_linear(codes) for _ in range(sets)]
    exact = [kernels.pack_linear(weight) for _ in range(sets)]
    kind = f"int{scheme.bits}" + (f"-{scheme.group_size}" if scheme.group_size else "")
    kind += " with zero points" if scheme.zeros else ""
    return Row(
        f"quantized {kind}, int{scheme.activation_bits} M={m} N={n} K={k}",
        size,
        2 * m * n * k,
        lambda i: kernels.linear(x, quantized[i]),
        lambda i: kernels.linear(x, exact[i]),
        sets,
        2 * n * k,
    )


def attention_row(
    kernels: CpuKernels,
    dtype: torch.dtype,
    batch: int,
    q_len: int,
    kv_len: int,
    heads: tuple[int, int, int],
    kv_dtype: torch.dtype | None = None,
) -> Row:
    """``heads``: query heads, key/value heads, head_dim. torch gathers the slots first.

    With a ``kv_dtype`` the other side is the same with a cache of ``dtype``.
    """
    num_heads, num_kv_heads, head_dim = heads
    slots = batch * kv_len
    element = 2 * slots * num_kv_heads
    read_bytes = element * bytes_per_head(head_dim, kv_dtype or dtype)
    sets = 2 if q_len > 1 else max(2, OUT_OF_CACHE // read_bytes + 1)
    pool = filled_pool(kernels, (sets, slots, num_kv_heads, head_dim), kv_dtype or dtype)
    indptr = torch.arange(batch + 1, dtype=torch.int32) * q_len
    lengths = torch.full((batch,), kv_len, dtype=torch.int32)
    table = torch.arange(slots, dtype=torch.int32)
    meta = AttentionMeta(indptr, table, torch.arange(batch) * kv_len, lengths, q_len, kv_len)
    q = torch.randn(batch * q_len, num_heads, head_dim).to(dtype)
    scale = head_dim**-0.5

    def ours(i: int, pool: KVPool = pool) -> torch.Tensor:
        return kernels.attention(q, pool.layers[i], meta, scale=scale, window=0, softcap=0.0)

    q_padded = q.unflatten(0, (batch, q_len)).transpose(1, 2).contiguous()
    mask = torch.ones(q_len, kv_len, dtype=torch.bool).tril(kv_len - q_len)
    rows = table.long().view(batch, kv_len)

    def torchs(i: int) -> torch.Tensor:
        k, v = (cache[rows].transpose(1, 2) for cache in (pool.layers[i].k, pool.layers[i].v))
        return F.scaled_dot_product_attention(
            q_padded, k, v, attn_mask=mask, scale=scale, enable_gqa=True
        )

    other, name = torchs, f"{batch}x{q_len} of {kv_len}, {num_heads}/{num_kv_heads}x{head_dim}"
    if kv_dtype is not None:
        exact = filled_pool(kernels, (sets, slots, num_kv_heads, head_dim), dtype)
        other, name = partial(ours, pool=exact), f"{name} {_name(kv_dtype)}"
    seen = sum(kv_len - q_len + 1 + i for i in range(q_len))
    return Row(
        f"attention {_name(dtype)} {name}",
        read_bytes,
        4 * batch * seen * num_heads * head_dim,
        ours,
        other,
        sets,
        element * bytes_per_head(head_dim, dtype),
    )


def filled_pool(
    kernels: CpuKernels, shape: tuple[int, int, int, int], kv_dtype: torch.dtype
) -> KVPool:
    """``shape``: layers, slots, key/value heads, head_dim."""
    pool = KVPool(*shape, kv_dtype, kernels.allocate)
    everything = torch.arange(shape[1])
    k, v = torch.randn(2, *shape[1:])
    for layer in pool.layers:
        write_kv(layer, everything, k, v)
    return pool


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
    rows: list[Callable[[], Row]] = [
        *(lambda m=m: linear_row(kernels, bf16, m, 4096, 1024) for m in (1, 4, 8, 16, 32, 64, 256)),
        *(lambda m=m: linear_row(kernels, f32, m, 4096, 1024) for m in (1, 8, 64)),
        *(
            lambda m=m, scheme=scheme: quantized_row(kernels, scheme, m, 4096, 1024)
            for scheme in SCHEMES
            for m in (1, 4, 8, 16, 32, 64, 256, 512)
        ),
        *(partial(attention_row, kernels, *case) for case in ATTENTION),
        *(
            partial(attention_row, kernels, torch.bfloat16, *case, kv_dtype=kv_dtype)
            for kv_dtype in KV_CACHE_DTYPES.values()
            for case in ((16, 1, 1024, SMALL), (1, 1, 8192, SMALL), (1, 2048, 2048, SMALL))
        ),
        lambda: norm_row(kernels, bf16, 1, 1024),
        lambda: norm_row(kernels, bf16, 512, 1024),
        lambda: silu_row(kernels, bf16, 1, 4096),
        lambda: silu_row(kernels, bf16, 512, 4096),
    ]
    print(f"{kernels.name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'':44} | {'ours':40} | {'torch, or our bfloat16':40} | ours is")
    for make in rows:
        row = make()
        if args.only in row.name:
            report(row, args.seconds)


if __name__ == "__main__":
    main()
