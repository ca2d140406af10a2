"""What ``bench_one_batch --correct`` and the reference print, alike, so that diff compares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PROMPTS = (
    "The capital of France is",
    "The capital of the United Kingdom is",
    "Today is a sunny day and I like",
)

NUM_LARGEST = 5


def print_report(prompt: str, ids: Sequence[int], logits: torch.Tensor, text: str) -> None:
    """One prompt, its token ids, the ``logits`` [V] after its last token, and the answer's text."""
    best = logits.topk(min(NUM_LARGEST, len(logits)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    print(f"prompt: {prompt!r}")
    print(f"token ids: {list(ids)}")
    print(f"prefill logits {list(logits.shape)}: {logits}")
    print("largest: " + ", ".join(f"{i}: {value:.4f}" for i, value in pairs))
    print(f"output: {text!r}\n", flush=True)
