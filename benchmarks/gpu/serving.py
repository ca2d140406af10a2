"""Whole models: that all ways to run one say the same, and how fast they are."""

from __future__ import annotations

import gc
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from models import CONFIGS, matrix_operations, write_config
from report import Report, Row
from timing import Budget

from sglang.bench.in_process import InProcessEngine, Step
from sglang.bench.static_batch import BatchTimes
from sglang.bench.weights_read import weight_bytes_read
from sglang.srt.server_args import ServerArgs

EQUALITY = "Ways to run one model, against the reference"
SPEED = "Speed"

WAYS: dict[str, dict[str, Any]] = {
    "triton": {},
    "triton, no graphs": {"disable_cuda_graph": True},
    "triton, graphs of three sizes": {"cuda_graph_bs": [1, 2, 8]},
    "triton, chunks of 16": {"chunked_prefill_size": 16},
    "triton, no prefix cache": {"disable_radix_cache": True},
    "triton, partial sums in float32": {"triton_attention_reduce_in_fp32": True},
}


def make_engine(name: str, device: str, **options: Any) -> InProcessEngine:
    with tempfile.TemporaryDirectory() as folder:
        path = str(write_config(Path(folder), name))
        return InProcessEngine(
            ServerArgs(
                model_path=path,
                device=device,
                load_format="dummy",
                skip_tokenizer_init=True,
                log_level="warning",
                **options,
            )
        )


def prompts_of(name: str, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [rng.choices(range(2, CONFIGS[name]["vocab_size"]), k=n) for n in lengths]


def check_equality(report: Report, device: str, budget: Budget, *, ways: Sequence[str]) -> None:
    """Greedy answers of a tiny model in float32."""
    shared: dict[str, Any] = {"dtype": "float32", "max_running_requests": 8}
    new_tokens = 16 if device == "cuda" else 4
    prompts = prompts_of("tiny", [3, 40, 17, 5])
    shared["max_total_tokens"] = 1024
    expected = _answers(device, prompts, new_tokens, attention_backend="torch_native", **shared)
    for way in ways:
        if budget.left < 0:
            report.missing(EQUALITY, way, "time was up")
            continue
        options = {**shared, "attention_backend": "triton", **WAYS[way]}
        found = _answers(device, prompts, new_tokens, **options)
        same = sum(a == b for a, b in zip(found, expected, strict=True))
        report.add(Row(EQUALITY, way, same, f"of {len(expected)} equal", ok=same == len(expected)))


def _answers(device: str, prompts: list[list[int]], length: int, **options: Any) -> list[Any]:
    engine = make_engine("tiny", device, **options)
    steps = engine.run(prompts, [length] * len(prompts))
    texts: dict[str, list[int]] = {}
    for step in steps:
        for output in step.outputs:
            texts.setdefault(output.rid, []).extend(output.token_ids)
    return [texts[str(i)] for i in range(len(prompts))]


def measure_speed(report: Report, budget: Budget, copy_rate: float, matmul_rate: float) -> None:
    """The targets, in the order of their weight. Each needs a model to be loaded."""
    _with_engine(
        report,
        budget,
        90,
        "Llama-3.1-8B",
        {"max_running_requests": 64, "context_length": 16384, "disable_radix_cache": True},
        lambda engine: (
            _latency(report, engine, "Llama-3.1-8B", copy_rate, target=270.0),
            _prefill(report, engine, "Llama-3.1-8B", matmul_rate),
            _idle(report, engine, "Llama-3.1-8B"),
        ),
    )
    _with_engine(
        report,
        budget,
        40,
        "Llama-3.2-1B",
        {"max_running_requests": 8, "context_length": 4096, "disable_radix_cache": True},
        lambda engine: _latency(report, engine, "Llama-3.2-1B", copy_rate, target_share=0.75),
    )
    _with_engine(
        report,
        budget,
        120,
        "Qwen3-8B",
        {"max_running_requests": 256, "context_length": 4096, "disable_radix_cache": True},
        lambda engine: _offline(report, engine, "Qwen3-8B"),
    )


def _with_engine(
    report: Report,
    budget: Budget,
    needed: float,
    name: str,
    options: dict[str, Any],
    measure: Callable[[InProcessEngine], object],
) -> None:
    """Load a model if ``needed`` seconds are left, and let go of it afterwards."""
    if budget.left < needed:
        report.missing(SPEED, name, f"time was up ({budget.left:.0f} s left, {needed:.0f} needed)")
        return
    try:
        before = budget.left
        engine = make_engine(name, "cuda", dtype="bfloat16", **options)
        report.add(Row(SPEED, f"{name}: loaded and captured", before - budget.left, "s"))
        measure(engine)
    except Exception as error:  # the other models shall be measured all the same
        note = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
        report.add(Row(SPEED, name, None, ok=False, note=note))
    gc.collect()
    torch.cuda.empty_cache()


def _run(engine: InProcessEngine, name: str, batch: int, prompt: int, answer: int) -> list[Step]:
    prompts = prompts_of(name, [prompt] * batch, seed=batch + prompt)
    return engine.run(prompts, [answer] * batch)


def _latency(
    report: Report,
    engine: InProcessEngine,
    name: str,
    copy_rate: float,
    *,
    target: float = 0.0,
    target_share: float = 0.0,
) -> None:
    """One request of 128 tokens in, 512 out. The target is a rate, or a share of the limit."""
    _run(engine, name, 1, 128, 16)
    times = BatchTimes.of(_run(engine, name, 1, 128, 512), 1, 128, 512)
    median = sorted(times.decode_s)[len(times.decode_s) // 2]
    limit = copy_rate / weight_bytes_read(engine.runner.model)
    report.add(
        Row(SPEED, f"{name}: batch 1, 128 in, 512 out", 1 / median, "tok/s", limit,
            target=target or target_share * limit, note="limit: weights at the rate of a copy")
    )  # fmt: skip


def _prefill(report: Report, engine: InProcessEngine, name: str, matmul_rate: float) -> None:
    """One prompt of 8192 tokens."""
    _run(engine, name, 1, 8192, 1)
    times = BatchTimes.of(_run(engine, name, 1, 8190, 1), 1, 8190, 1)
    rate = 8190 * matrix_operations(name) / times.prefill_s / 1e12
    limit = matmul_rate / 1e12
    report.add(
        Row(SPEED, f"{name}: prefill of 8190 tokens", rate, "TFLOP/s", limit, target=0.6 * limit,
            note=f"{times.prefill_s * 1e3:.1f} ms; operations of the matrices alone")
    )  # fmt: skip


def _idle(report: Report, engine: InProcessEngine, name: str) -> None:
    """Share of the time that the GPU waits while 64 sequences decode."""
    from torch.profiler import ProfilerActivity, profile

    _run(engine, name, 64, 64, 8)
    # The prefill, with its gaps, is a small part of this.
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        _run(engine, name, 64, 64, 64)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in trace.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    if not spans:
        report.missing(SPEED, f"{name}: GPU idle at batch 64", "the profiler saw no kernels")
        return
    busy, end = 0.0, spans[0][0]
    for start, stop in spans:
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    idle = 100 * (1 - busy / (end - spans[0][0]))
    report.add(Row(SPEED, f"{name}: GPU idle at batch 64", idle, "%", note="wanted: under 2 %"))


def _offline(report: Report, engine: InProcessEngine, name: str) -> None:
    """256 requests of 1024 tokens in, 1024 out, all at once."""
    _run(engine, name, 8, 64, 8)
    steps = _run(engine, name, 256, 1024, 1024)
    total = sum(step.seconds for step in steps)
    report.add(
        Row(SPEED, f"{name}: 256 requests, 1024 in, 1024 out", 256 * 1024 / total, "tok/s",
            target=9000, note=f"{total:.1f} s, {len(steps)} steps")
    )  # fmt: skip
