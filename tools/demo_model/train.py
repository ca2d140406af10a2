"""Trains the network: ``python -m tools.demo_model.train``.

Muon for the matrices and AdamW for the rest, in three phases with the same facts and forms, of
which the second practises copying and the last one what is hardest.  A checkpoint is written every
few minutes, and a run that was stopped goes on from there with the batches it would have seen.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .batches import Batch, batches, geometry
from .corpus import samples
from .model import DemoLlama, Group, ModelConfig
from .rendering import segments
from .tokenizer import train_tokenizer

WORK_FOLDER = Path(__file__).resolve().parent / "work"
VOCABULARY = 4096
TOKENIZER_SAMPLES = 60000
TOKENS_PER_BATCH = 7200
STEPS = 3200
PHASE_STEPS = (0, 500, 1600)
"""The steps at which the mixtures of the corpus begin."""
WARMUP_STEPS = 60
DECAY_FROM = 1300
"""The learning rate is constant up to this step, then falls linearly to zero."""
LEARNING_RATE = 4e-3
MINUTES_BETWEEN_CHECKPOINTS = 5.0


@dataclass
class Clock:
    """What a run has cost so far, in seconds: on the wall, and of all its threads together.

    On a machine with other work the second, divided by the threads, is what a quiet one needs.
    """

    wall: float = 0.0
    processor: float = 0.0

    def __post_init__(self) -> None:
        self._before = self.wall - time.monotonic(), self.processor - time.process_time()

    def read(self) -> tuple[float, float]:
        """Both, up to now."""
        return time.monotonic() + self._before[0], time.process_time() + self._before[1]


def prepare_tokenizer(folder: Path, seed: int) -> Tokenizer:
    """The tokenizer of an earlier run in this folder, or a new one."""
    path = folder / "tokenizer.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        texts = (
            "".join(text for text, _ in segments(sample))
            for sample in samples(seed, TOKENIZER_SAMPLES)
        )
        train_tokenizer(texts, VOCABULARY).save(str(path))
    return Tokenizer.from_file(str(path))


def rate(step: int) -> float:
    """Learning-rate factor of a step."""
    return min(1.0, (step + 1) / WARMUP_STEPS, (STEPS - step) / (STEPS - DECAY_FROM))


def optimizers(model: DemoLlama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embedding and norms."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    return [
        torch.optim.Muon(
            matrices, lr=LEARNING_RATE, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class Run:
    """One training run: the network, its optimizers, and the counters that a checkpoint keeps."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.steps = steps
        self.checkpoint = folder / "checkpoint.pt"
        self.tokenizer = prepare_tokenizer(folder, seed)
        self.model = DemoLlama(ModelConfig(self.tokenizer.get_vocab_size()))
        self.optimizers = optimizers(self.model)
        self.step = 0
        self.seen = 0
        self.clock = Clock()
        if self.checkpoint.exists():
            self.load()
        self.last_save = time.monotonic()

    def load(self) -> None:
        """Go on from the checkpoint."""
        saved = torch.load(self.checkpoint)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seen = saved["step"], saved["seen"]
        self.clock = Clock(saved["seconds"], saved["processor_seconds"])
        print(f"resuming after step {self.step}", flush=True)

    def save(self) -> None:
        """Write the checkpoint."""
        seconds, processor_seconds = self.clock.read()
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seen": self.seen,
            "seconds": seconds,
            "processor_seconds": processor_seconds,
        }
        torch.save(state, self.checkpoint.with_suffix(".tmp"))
        os.replace(self.checkpoint.with_suffix(".tmp"), self.checkpoint)
        self.last_save = time.monotonic()

    def run(self) -> None:
        """Train up to the last step."""
        groups = geometry(self.tokenizer, self.seed, TOKENS_PER_BATCH)
        size = sum(count * length for count, length in groups)
        print(f"{size} tokens per step in {groups}", flush=True)
        stream = self.stream(groups)
        window: list[Tensor] = []
        first, started = self.step, time.monotonic()
        while self.step < self.steps:
            if self.step in PHASE_STEPS:
                stream = self.stream(groups)
            window.append(self.update(next(stream), groups))
            self.seen += size
            self.step += 1
            if self.step % 10 == 0 or self.step == self.steps:
                speed = (self.step - first) / (time.monotonic() - started)
                wall, processor = self.clock.read()
                print(
                    f"step {self.step}/{self.steps}  loss {torch.stack(window).mean():.4f}  "
                    f"rate {rate(self.step):.2f}  {speed * size:.0f} tokens/s  "
                    f"{wall / 60:.1f} min, {processor / 60:.1f} of the processor  "
                    f"{(self.steps - self.step) / speed / 60:.1f} min left",
                    flush=True,
                )
                window.clear()
            if time.monotonic() - self.last_save > MINUTES_BETWEEN_CHECKPOINTS * 60:
                self.save()
        self.save()

    def stream(self, groups: list[Group]) -> Iterator[Batch]:
        """The batches of the phase that the run is in, from its next step."""
        phase = max(i for i, begin in enumerate(PHASE_STEPS) if begin <= self.step)
        return batches(self.tokenizer, self.seed, phase, groups, self.step - PHASE_STEPS[phase])

    def update(self, batch: Batch, groups: list[Group]) -> Tensor:
        """One optimizer step; returns the loss."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * rate(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.model.loss(
                batch.tokens, batch.positions, batch.targets, batch.weights, groups
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def train(folder: Path, seed: int, compiled: bool, steps: int = STEPS) -> None:
    """Run or resume the training; the result is the checkpoint in ``folder``."""
    run = Run(folder, seed, steps)
    print(f"{sum(p.numel() for p in run.model.parameters())} parameters", flush=True)
    if compiled:
        for layer in run.model.model.layers:
            layer.compile()
    run.run()
    wall, processor = run.clock.read()
    print(
        f"trained on {run.seen} tokens in {wall / 60:.1f} minutes, "
        f"{processor / 60:.1f} minutes of the processor",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=WORK_FOLDER, help="checkpoints go here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    train(options.folder, options.seed, not options.no_compile, options.steps)


if __name__ == "__main__":
    main()
