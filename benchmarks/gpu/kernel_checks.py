"""Every kernel against its reference, at the sizes of an 8-billion-parameter model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from cases import TINY, Case, Sizes, attend, make_cache, make_meta, query_pairs, randn
from mixture_cases import experts, latent
from report import Report, Row
from timing import Budget, seconds

from sglang.srt.kernels.attention_variant import AttentionVariant, alibi_slopes
from sglang.srt.kernels.interface import Kernels
from sglang.srt.kernels.kv_cache import bytes_per_head
from sglang.srt.kernels.quantization import WeightScheme, quantize_weight
from sglang.srt.kernels.reference import ReferenceKernels

SECTION = "Kernels against their references"
TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 2e-2}


def rowwise(s: Sizes, device: str) -> Iterator[Case]:
    """Norms and activations."""
    t, h, i = s.tokens, s.hidden, s.inner
    for dtype in (torch.bfloat16, torch.float32):
        x, residual = randn(t, h, device=device, dtype=dtype), randn(t, h, device=device)
        weight, wide = randn(h, device=device, dtype=dtype), randn(t, 2 * i, device=device)
        size, short = dtype.itemsize, str(dtype).removeprefix("torch.")
        residual, wide = residual.to(dtype), wide.to(dtype)

        def add_norm(kernels: Kernels, x=x, residual=residual, weight=weight) -> list[torch.Tensor]:
            total = residual.clone()
            return [kernels.add_rms_norm(x, total, weight, 1e-5), total]

        yield Case(
            f"rms_norm {short}",
            lambda kernels, x=x, weight=weight: [kernels.rms_norm(x, weight, 1e-5)],
            2 * t * h * size,
        )
        yield Case(f"add_rms_norm {short}", add_norm, 6 * t * h * size)
        yield Case(
            f"layer_norm {short}",
            lambda kernels, x=x, weight=weight: [kernels.layer_norm(x, weight, weight, 1e-5)],
            2 * t * h * size,
        )
        yield Case(
            f"silu_and_mul {short}",
            lambda kernels, wide=wide: [kernels.silu_and_mul(wide)],
            3 * t * i * size,
        )
        yield Case(
            f"gelu_and_mul {short}",
            lambda kernels, wide=wide: [kernels.gelu_and_mul(wide, exact=True)],
            3 * t * i * size,
        )


def logits(s: Sizes, device: str) -> Iterator[Case]:
    """What is done with rows of logits."""
    for rows in (1, s.batch):
        x = randn(rows, s.vocab, device=device, dtype=torch.float32)
        yield Case(
            f"best_tokens [{rows}, {s.vocab}]",
            lambda kernels, x=x: list(kernels.best_tokens(x)),
            4 * x.numel(),
        )
    bits = torch.randint(-(2**31), 2**31, (s.batch, (s.vocab + 31) // 32), device=device).int()
    which = torch.arange(s.batch, device=device)

    def mask(kernels: Kernels) -> list[torch.Tensor]:
        masked = x.clone()
        kernels.mask_tokens(masked, which, bits)
        return [masked.nan_to_num(neginf=-1e4)]

    yield Case(f"mask_tokens [{s.batch}, {s.vocab}]", mask)


def attention(s: Sizes, device: str) -> Iterator[Case]:
    """Decode, extend and both, over caches of every type."""
    n, b, bf16 = s.kv_len, s.batch, torch.bfloat16
    long, many = ([1], [2 * n]), ([1] * b, [n] * b)
    prompt, chunk = ([n], [n]), ([n // 2], [2 * n])
    mixed = ([1] * (b // 2) + [n // 2], [n // 2] * (b // 2) + [n])
    tiny = s is TINY
    sunk = AttentionVariant(sinks=torch.randn(4 if tiny else 64, device=device))
    sloped = AttentionVariant(slopes=alibi_slopes(4 if tiny else 32).to(device))
    chunked = AttentionVariant(chunk=n // 3)
    cases = [
        ("decode, one long", long, 32, 8, 128, bf16, bf16, {}),
        ("decode, many", many, 32, 8, 128, bf16, bf16, {}),
        ("decode, many, fp8 cache", many, 32, 8, 128, bf16, torch.float8_e4m3fn, {}),
        ("decode, many, int8 cache", many, 32, 8, 128, bf16, torch.int8, {}),
        ("decode, many, heads of 64", many, 32, 8, 64, bf16, bf16, {}),
        ("decode, window 1000", many, 32, 8, 128, bf16, bf16, {"window": 1000}),
        ("extend, prompt", prompt, 32, 8, 128, bf16, bf16, {}),
        ("extend, chunk of a long one", chunk, 32, 8, 128, bf16, bf16, {}),
        ("extend, float16, heads of 256", prompt, 16, 8, 256, torch.float16, torch.float16, {}),
        ("extend, heads of 96, soft cap", prompt, 16, 16, 96, bf16, bf16, {"softcap": 30.0}),
        ("mixed batch", mixed, 32, 8, 128, bf16, bf16, {}),
        ("mixed batch, fp8 cache", mixed, 32, 8, 128, bf16, torch.float8_e5m2, {}),
        ("decode, sinks and window", many, 64, 8, 64, bf16, bf16, {"window": 128, "variant": sunk}),
        ("mixed batch, sinks", mixed, 64, 8, 64, bf16, bf16, {"variant": sunk}),
        ("extend, slopes", prompt, 32, 32, 128, bf16, bf16, {"variant": sloped}),
        ("mixed batch, chunks", mixed, 32, 8, 128, bf16, bf16, {"variant": chunked}),
        ("mixed batch, float32", ([1, 9], [n // 4, n // 4]), 8, 2, 64, torch.float32,
         torch.float32, {}),
    ]  # fmt: skip
    for name, (q_lens, kv_lens), heads, kv_heads, dim, dtype, kv_dtype, options in cases:
        if tiny:
            heads, kv_heads = 4, 2
        cache = make_cache(sum(kv_lens), kv_heads, dim, kv_dtype, device)
        q = randn(sum(q_lens), heads, dim, device=device, dtype=dtype)
        meta = make_meta(q_lens, kv_lens, device)
        read = 2 * kv_heads * bytes_per_head(dim, kv_dtype) * sum(kv_lens)
        pairs = query_pairs(q_lens, kv_lens)
        decodes = max(q_lens) == 1
        yield Case(
            f"attention: {name}",
            partial(attend, q, cache, meta, options),
            read if decodes and not options else 0.0,
            4 * pairs * heads * dim if not decodes else 0.0,
        )


def rope(s: Sizes, device: str) -> Iterator[Case]:
    """The write to the cache."""
    t, heads, kv_heads, dim = s.tokens, 32, 8, 128
    qkv = randn(t, (heads + 2 * kv_heads) * dim, device=device)
    angles = torch.randn(t, dim // 2, device=device)
    table = torch.cat((angles.cos(), angles.sin()), dim=1)
    positions = torch.arange(t, device=device, dtype=torch.int32)
    slots = torch.randperm(t, device=device).int()
    norm = randn(dim, device=device)
    dtypes = [torch.bfloat16, torch.int8]
    if device != "cpu":  # the interpreter rounds to fp8 wrongly
        dtypes.append(torch.float8_e4m3fn)
    for kv_dtype in dtypes:

        def write(kernels: Kernels, kv_dtype: torch.dtype = kv_dtype) -> list[torch.Tensor]:
            mine, cache = qkv.clone(), make_cache(t, kv_heads, dim, kv_dtype, device)
            kernels.rope_and_write_kv(
                mine, positions, table, cache, slots,
                num_heads=heads, num_kv_heads=kv_heads, head_dim=dim,
                q_norm=norm, k_norm=norm, norm_eps=1e-6, interleaved=False,
            )  # fmt: skip
            return [mine, *(x.float().to(mine.dtype) for x in (cache.k, cache.v))]

        # A number of 8 bits may be the next one.
        loose = 1.0 if kv_dtype == torch.bfloat16 else 8.0
        short = str(kv_dtype).removeprefix("torch.")
        yield Case(f"rope_and_write_kv, cache of {short}", write, tolerance=loose)


def linear(s: Sizes, device: str) -> Iterator[Case]:
    """Products with quantized weights."""
    n, k = s.inner, s.hidden
    weight = (torch.randn(n, k) * k**-0.5).to(device)
    for scheme in (WeightScheme(8), WeightScheme(8, 0, 16), WeightScheme(4, 128)):
        quantized = quantize_weight(weight, scheme)
        for rows in (1, 16, s.tokens):
            x = randn(rows, k, device=device)

            def multiply(kernels: Kernels, x=x, quantized=quantized) -> list[torch.Tensor]:
                return [kernels.linear(x, kernels.pack_linear(quantized))]

            name = f"linear {scheme.bits}-bit, activations {scheme.activation_bits}-bit"
            yield Case(
                f"{name}, {rows} rows",
                multiply,
                tolerance=1.0 if scheme.bits == 8 else 3.0,
            )


GROUPS = (rowwise, logits, rope, attention, linear, latent, experts)


def check_kernels(
    report: Report, kernels: Kernels, device: str, sizes: Sizes, budget: Budget, copy_rate: float
) -> None:
    """Compare and, on a GPU, time every case. ``copy_rate`` 0: nothing is timed."""
    torch.manual_seed(0)
    reference = ReferenceKernels(device)
    for group in GROUPS:
        for case in group(sizes, device):
            if budget.left < 0:
                report.missing(SECTION, case.name, "time was up")
                continue
            try:
                _check(report, case, kernels, reference, copy_rate)
            except Exception as error:  # the others shall run all the same
                note = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
                report.add(Row(SECTION, case.name, None, ok=False, note=note))


def _check(
    report: Report, case: Case, kernels: Kernels, reference: Kernels, copy_rate: float
) -> None:
    gaps, ok = [], True
    for found, expected in zip(case.run(kernels), case.run(reference), strict=True):
        tolerance = TOLERANCE.get(expected.dtype, 0.0) * case.tolerance
        gap = (found.float() - expected.float()).abs()
        ok &= bool((gap <= tolerance * (1 + expected.float().abs())).all())
        gaps.append(gap.max())
    # Not max(): what is not a number must show.
    report.add(Row(SECTION, case.name, float(torch.stack(gaps).max()), "worst gap", ok=ok))
    if not copy_rate or not (case.bytes_moved or case.operations):
        return
    elapsed = seconds(lambda: case.run(kernels))
    if case.operations:
        rate = case.operations / elapsed / 1e12
        report.add(Row(SECTION, f"  {elapsed * 1e6:.1f} us", rate, "TFLOP/s"))
    else:
        rate = case.bytes_moved / elapsed / 1e9
        report.add(Row(SECTION, f"  {elapsed * 1e6:.1f} us", rate, "GB/s", copy_rate / 1e9))
