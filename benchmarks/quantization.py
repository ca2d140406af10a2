"""What each quantization costs in accuracy: perplexity and logits beside those of float32.

    python benchmarks/quantization.py                     # the demo model and its own kind of text
    python benchmarks/quantization.py --model-path DIR --text FILE

The text is cut into windows that are read one by one. Perplexity is that of the text (of the demo
model's conversations: of the answers). KL is the mean Kullback-Leibler divergence of the next
token's distribution from that of the float32 model, in nats; "same best" is the share of positions
where both find the same token most likely.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from sglang.demo_model import demo_model_path
from sglang.srt.configs.model_config import load_model_config
from sglang.srt.kernels import select_kernels
from sglang.srt.layers.quantization import QUANTIZATIONS
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.cpu_threads import set_cpu_threads
from sglang.srt.model_executor.recorded_forward import forward_batch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.load import load_model

DEMO_SEED = 987_654_321
"""No corpus of the demo model was made with it."""

EXACT = "float32"


@dataclass(frozen=True)
class Window:
    """A piece of text; the tokens after the positions ``scored`` count."""

    tokens: list[int]
    scored: list[int]

    @property
    def targets(self) -> list[int]:
        return [self.tokens[position + 1] for position in self.scored]


def demo_windows(tokenizer: Tokenizer, seed: int) -> Iterator[Window]:
    """Conversations of the kind that the demo model was trained on."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tools.demo_model.corpus import samples
    from tools.demo_model.rendering import segments

    for sample in samples(seed, 10_000):
        tokens: list[int] = []
        scored: list[int] = []
        for text, learned in segments(sample):
            first = max(len(tokens), 1)
            tokens += tokenizer.encode(text, add_special_tokens=False).ids
            if learned:
                scored += range(first - 1, len(tokens) - 1)
        yield Window(tokens, scored)


def file_windows(tokenizer: Tokenizer, path: Path, length: int) -> Iterator[Window]:
    """The file in pieces of ``length`` tokens, all of which count."""
    tokens = tokenizer.encode(path.read_text(encoding="utf-8"), add_special_tokens=False).ids
    for start in range(0, len(tokens) - 1, length):
        piece = tokens[start : start + length]
        yield Window(piece, list(range(len(piece) - 1)))


class Scorer:
    """A model that reads windows."""

    def __init__(self, model_path: str, dtype: str, quantization: str | None, length: int) -> None:
        device = torch.device("cpu")
        config = load_model_config(model_path, dtype=dtype, quantization=quantization)
        kernels = select_kernels("cpu", getattr(torch, config.dtype))
        self._model = load_model(config, device=device, kernels=kernels)
        self._pool = KVPool(
            self._model.num_layers,
            length,
            self._model.num_kv_heads,
            self._model.head_dim,
            getattr(torch, config.dtype),
            kernels.allocate,
        )

    @torch.inference_mode()
    def log_probabilities(self, window: Window) -> torch.Tensor:
        """Of the next token at every scored position, [n, V]."""
        n = len(window.tokens)
        places = np.arange(n, dtype=np.int32)
        arrays = StepArrays(
            input_ids=np.array(window.tokens, dtype=np.int64),
            positions=places,
            out_slots=places,
            q_indptr=np.array([0, n], dtype=np.int32),
            table_rows=np.zeros(1, dtype=np.int64),
            kv_start=np.zeros(1, dtype=np.int64),
            kv_len=np.array([n], dtype=np.int32),
            logits_rows=np.array(window.scored, dtype=np.int64),
        )
        batch = forward_batch(arrays, torch.from_numpy(places), self._pool)
        return self._model.logits(self._model.forward(batch)).log_softmax(-1)


@dataclass
class Totals:
    """Sums over the scored positions."""

    positions: int = 0
    loss: float = 0.0
    divergence: float = 0.0
    same_best: int = 0

    def add(self, window: Window, exact: torch.Tensor, found: torch.Tensor) -> None:
        targets = torch.tensor(window.targets)
        self.positions += len(targets)
        self.loss -= float(found.gather(1, targets[:, None]).sum())
        self.divergence += float((exact.exp() * (exact - found)).sum())
        self.same_best += int((exact.argmax(-1) == found.argmax(-1)).sum())

    def row(self, name: str) -> str:
        n = self.positions
        return (
            f"| {name} | {math.exp(self.loss / n):.4f} | {self.divergence / n:.5f} "
            f"| {self.same_best / n:.2%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model-path", default=demo_model_path())
    parser.add_argument("--text", type=Path, help="a text file (default: the demo model's kind)")
    parser.add_argument("--dtype", default="bfloat16", help="of the activations (bfloat16)")
    parser.add_argument("--window", type=int, default=1024, help="tokens of a window (1024)")
    parser.add_argument("--tokens", type=int, default=20_000, help="of all windows (20000)")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="of the demo model's text")
    args = parser.parse_args()
    set_cpu_threads()
    tokenizer = Tokenizer.from_file(str(Path(args.model_path) / "tokenizer.json"))
    if args.text is None:
        windows = demo_windows(tokenizer, args.seed)
    else:
        windows = file_windows(tokenizer, args.text, args.window)
    chosen = list(_up_to(windows, args.tokens))
    exact = Scorer(args.model_path, EXACT, None, args.window)
    expected = [exact.log_probabilities(window) for window in chosen]
    print("| weights | perplexity | KL | same best |\n|---|---:|---:|---:|")
    _report(EXACT, exact, chosen, expected)
    for name in (None, *QUANTIZATIONS):
        scorer = Scorer(args.model_path, args.dtype, name, args.window)
        _report(name or args.dtype, scorer, chosen, expected)


def _up_to(windows: Iterator[Window], tokens: int) -> Iterator[Window]:
    total = 0
    for window in islice(windows, tokens):
        total += len(window.tokens)
        if total > tokens:
            return
        yield window


def _report(
    name: str, scorer: Scorer, windows: Sequence[Window], exact: Sequence[torch.Tensor]
) -> None:
    totals = Totals()
    for window, expected in zip(windows, exact, strict=True):
        totals.add(window, expected, scorer.log_probabilities(window))
    print(totals.row(name), flush=True)


if __name__ == "__main__":
    main()
