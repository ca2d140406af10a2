"""Compiles the Triton kernels for a GPU that is not there: as far as machine code, without a run.

    python tests/gpu/compile_for_gpu.py 90 [some | all]

The operations are called as ever, on CPU tensors; instead of being started, each kernel is compiled
for the compute capability (90 is 9.0). A line each: name, warps, shared memory in bytes, and how
many matrix instructions its code has. Registers that do not fit are seen with
``cuobjdump -res-usage`` on the files in TRITON_CACHE_DIR.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from sglang.srt.kernels import TritonSettings
from sglang.srt.kernels.interface import Activation, PackedExperts
from sglang.srt.kernels.kv_cache import latent_cache
from sglang.srt.kernels.quantization import WeightScheme, quantize_weight
from sglang.srt.kernels.routing import Routing
from sglang.srt.kernels.triton.kernels import TritonKernels
from sglang.srt.kernels.triton.sampling import draw_tokens
from sglang.srt.sampling.sampling_batch import DrawGroup, Route
from tests.kernels.attention_cases import make_case

SHARED_MEMORY = {80: 163 << 10, 86: 99 << 10, 90: 227 << 10, 100: 227 << 10}


class NoDriver:
    """Stands for the GPU that would run the code."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_only() -> None:
    """Make a launch compile and report."""
    run, seen = JITFunction.run, set()

    def report(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = run(self, *args, grid=grid, warmup=True, **options)
        if kernel.hash not in seen:
            seen.add(kernel.hash)
            code = kernel.asm["ptx"]
            matrix = code.count("wgmma.mma_async") + code.count("mma.sync") + code.count("tcgen05")
            facts = kernel.metadata
            print(f"{self.fn.__name__:24}{facts.num_warps:3}{facts.shared:8}{matrix:5}", flush=True)
        return kernel

    JITFunction.run = report


def call_all(kernels: TritonKernels, *, everything: bool) -> None:
    """Every kernel once, or every shape that is tuned for."""
    bf16 = torch.bfloat16
    x, weight = torch.randn(64, 4096).to(bf16), torch.ones(4096, dtype=bf16)
    kernels.rms_norm(x, weight, 1e-5)
    kernels.silu_and_mul(x)
    kernels.best_tokens(torch.randn(2, 128256))
    bits = torch.zeros(2, 4008, dtype=torch.int32)
    kernels.mask_tokens(torch.randn(2, 128256), torch.tensor([0, 1]), bits)
    attend(kernels, 128, 32, 8, bf16, bf16)
    attend_latent(kernels, 16, bf16, bf16, q_lens=[1, 1])
    mix(kernels, 5, 128, 8, bf16)
    draw(128256, top_k=True, top_p=True)
    schemes = [WeightScheme(8), WeightScheme(4, 128)]
    if everything:
        draw(151936, top_k=False, top_p=True)
        draw(151936, top_k=False, top_p=False)
        kernels.add_rms_norm(x, x.clone(), weight, 1e-5)
        kernels.add_layer_norm(x, x.clone(), weight, weight, 1e-5)
        kernels.norm_groups(x, weight.view(32, 128), 1e-5, centered=False)
        kernels.gelu_and_mul(x, exact=True)
        kernels.gelu(x, exact=False)
        fp8 = [torch.float8_e5m2]
        if driver.active.get_current_target().arch >= 89:
            fp8.append(torch.float8_e4m3fn)
        for dim, heads, kv_heads in ((64, 32, 8), (256, 16, 8), (96, 32, 32), (128, 7, 1)):
            for kv_dtype in (bf16, torch.int8, *fp8):
                attend(kernels, dim, heads, kv_heads, bf16, kv_dtype)
        attend_latent(kernels, 16, bf16, bf16)
        for kv_dtype in (bf16, torch.int8, *fp8):
            attend_latent(kernels, 128, bf16, kv_dtype)
        attend_latent(kernels, 16, torch.float32, torch.float32)
        for tokens in (40, 100, 300):
            mix(kernels, tokens, 8, 2, bf16, biased=True, kind="clamped_swiglu", limit=7.0)
            mix(kernels, tokens, 8, 2, bf16, scale_input=True)
        mix(kernels, 5, 8, 2, torch.float32)
        kernels.clamped_swiglu(x, 7.0)
        kernels.scale_rows(x, torch.arange(64, dtype=torch.int32), torch.ones(64))
        kernels.add_gated(x, torch.ones(64, 1), x.clone())
        routings = [Routing(8, "sigmoid", num_groups=8, top_groups=4, group_score="best_two")]
        routings += [Routing(6, renormalize=True), Routing(2, "sparsemixer", jitter=0.1)]
        for routing in routings:
            kernels.route(torch.randn(3, 256), torch.zeros(256), routing)
        attend(kernels, 64, 8, 8, torch.float32, torch.float32)
        attend(kernels, 128, 8, 2, bf16, bf16, window=64)
        attend(kernels, 128, 8, 2, bf16, bf16, softcap=30.0)
        schemes += [WeightScheme(8, 0, 16), WeightScheme(4, 32)]
    for scheme in schemes:
        packed = kernels.pack_linear(quantize_weight(torch.randn(512, 512), scheme))
        for rows in (1, 100) if everything else (1,):
            kernels.linear(torch.randn(rows, 512).to(bf16), packed)


def draw(columns: int, *, top_k: bool, top_p: bool) -> None:
    group = DrawGroup(
        rows=None,
        uniforms=torch.zeros(2, dtype=torch.float64),
        temperature=torch.ones(2),
        min_p=torch.zeros(2),
        top_k=torch.ones(2, dtype=torch.int64) if top_k else None,
        top_p=torch.ones(2, dtype=torch.float64) if top_p else None,
        route=Route.THRESHOLD,
    )
    draw_tokens(torch.randn(2, columns), torch.zeros(2), group)


def attend(
    kernels: TritonKernels,
    dim: int,
    heads: int,
    kv_heads: int,
    dtype: torch.dtype,
    kv_dtype: torch.dtype,
    **options: Any,
) -> None:
    case = make_case(
        [1, 100],
        [1000, 300],
        dtype=dtype,
        kv_dtype=kv_dtype,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=dim,
    )
    case.run(kernels, **options)
    kernels.rope_and_write_kv(
        torch.randn(5, (heads + 2 * kv_heads) * dim).to(dtype),
        torch.arange(5, dtype=torch.int32),
        torch.randn(50, dim),
        case.cache,
        torch.arange(5, dtype=torch.int32),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=dim,
        q_norm=torch.ones(dim),
        k_norm=torch.ones(dim),
        norm_eps=1e-5,
        interleaved=False,
    )


def attend_latent(
    kernels: TritonKernels,
    heads: int,
    dtype: torch.dtype,
    kv_dtype: torch.dtype,
    q_lens: Sequence[int] = (1, 100),
) -> None:
    """With the sizes of DeepSeek-V2 and V3."""
    case = make_case(
        list(q_lens), [1000, 300], dtype=dtype, kv_dtype=kv_dtype, num_kv_heads=1, head_dim=576
    )
    cache = latent_cache(case.cache.k, 512, case.cache.k_scale)
    q = torch.randn(sum(q_lens), heads, 576).to(dtype)
    replace(case, q=q, cache=cache).run(kernels)
    kernels.rope_and_write_latent(
        torch.randn(5, heads * 192).to(dtype),
        torch.randn(5, 576).to(dtype),
        torch.arange(5, dtype=torch.int32),
        torch.randn(50, 64),
        cache,
        torch.arange(5, dtype=torch.int32),
        num_heads=heads,
        norm=torch.ones(512),
        norm_eps=1e-6,
        interleaved=True,
    )


def mix(
    kernels: TritonKernels,
    tokens: int,
    num_experts: int,
    top_k: int,
    dtype: torch.dtype,
    *,
    biased: bool = False,
    kind: Activation = "silu",
    **options: Any,
) -> None:
    """A mixture of small experts."""

    def pack(*shape: int) -> PackedExperts:
        bias = torch.zeros(num_experts, shape[0], dtype=dtype) if biased else None
        return kernels.pack_experts(
            [torch.zeros(shape, dtype=dtype)] * num_experts, num_experts, bias
        )

    chosen = kernels.route(torch.randn(tokens, num_experts), None, Routing(top_k))
    x = torch.randn(tokens, 256).to(dtype)
    kernels.expert_mlp(x, *chosen, pack(256, 256), pack(256, 128), kind=kind, **options)


def main(capability: int, *, everything: bool) -> None:
    driver.set_active(NoDriver(capability))
    compile_only()
    settings = TritonSettings(shared_memory=SHARED_MEMORY[capability])
    call_all(TritonKernels("cuda", settings), everything=everything)


if __name__ == "__main__":
    main(int(sys.argv[1]), everything=sys.argv[2:] == ["all"])
