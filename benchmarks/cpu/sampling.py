"""Milliseconds to sample one token for each row of a batch, by parameters and sizes.

    python benchmarks/cpu/sampling.py [--threads N] [--repeats N]

Two numbers a cell: preparing the batch (Python and numpy) + sampling (torch). The logits are
Gaussian, scaled so that top_p 0.95 keeps some tens of tokens, as language models do; the rows
"flat" show the worst case, in which it keeps most of the vocabulary.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sglang.srt.sampling.sampler import SamplingRow, make_sampling_batch, sample
from sglang.srt.sampling.sampling_params import SamplingParams

CASES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "temperature": {"temperature": 0.8},
    "min_p": {"temperature": 0.8, "min_p": 0.05},
    "top_k": {"temperature": 0.8, "top_k": 50},
    "top_p": {"temperature": 0.8, "top_p": 0.95},
    "top_k + top_p": {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "greedy + penalties": {
        "temperature": 0.0,
        "frequency_penalty": 0.5,
        "repetition_penalty": 1.1,
    },
    "top_p, flat": {"temperature": 100.0, "top_p": 0.95},
}
BATCH_SIZES = (1, 16, 64)
VOCAB_SIZES = (4096, 32000, 128256)
PROMPT_TOKENS, OUTPUT_TOKENS = 1000, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="the best of so many counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"ms to prepare + ms to sample, {args.threads} threads, best of {args.repeats}")
    sizes = [(b, v) for v in VOCAB_SIZES for b in BATCH_SIZES]
    print(f"{'':20}" + "".join(f"{f'{b} x {v}':>17}" for b, v in sizes))
    for name, raw in CASES.items():
        cells = [_measure(raw, b, v, args.repeats) for b, v in sizes]
        print(f"{name:20}" + "".join(f"{f'{p:.3f} + {s:.2f}':>17}" for p, s in cells), flush=True)


def _measure(
    raw: dict[str, Any], batch_size: int, vocab_size: int, repeats: int
) -> tuple[float, float]:
    logits = _logits(batch_size, vocab_size)
    draws = np.random.default_rng(0)
    rows = [
        SamplingRow(
            params=SamplingParams.parse(raw),
            seed=i,
            prompt_ids=draws.integers(0, vocab_size, PROMPT_TOKENS, dtype=np.int32),
            output_ids=draws.integers(0, vocab_size, OUTPUT_TOKENS).tolist(),
            stop_ids=(0,),
        )
        for i in range(batch_size)
    ]
    batch = make_sampling_batch(rows, vocab_size, "cpu")
    return (
        _best(lambda: make_sampling_batch(rows, vocab_size, "cpu"), repeats),
        _best(lambda: sample(logits, batch), repeats),
    )


def _logits(batch_size: int, vocab_size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch_size, vocab_size, generator=generator) * 4


def _best(work: Callable[[], object], repeats: int) -> float:
    times = []
    work()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__":
    main()
