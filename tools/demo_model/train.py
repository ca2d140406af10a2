"""Trains the network: ``python -m tools.demo_model.train``.

Muon for the matrices and AdamW for the rest.  Five phases with a mixture of the corpus each: facts
first, then more reading and copying, then what was still weak, at last in many surface forms.  A
checkpoint is written every few minutes, and a run that was stopped goes on from there with the
batches it would have seen.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .batches import Batch, batches, geometry
from .corpus import samples
from .export import export
from .model import DemoLlama, Group, ModelConfig
from .rendering import segments
from .tokenizer import train_tokenizer

WORK_FOLDER = Path(__file__).resolve().parent / "work"
VOCABULARY = 4096
TOKENIZER_SAMPLES = 60000
TOKENS_PER_BATCH = 7200
STEPS = 2383
PHASE_STARTS = (0, 552, 1160, 1323, 1883)
RATES = (
    (0, 0.0),
    (80, 1.0),
    (650, 1.0),
    (1160, 0.215),
    (1160, 0.4),
    (1323, 0.284),
    (1323, 0.4),
    (1883, 0.0),
    (1883, 0.1),
    (1903, 0.45),
    (STEPS, 0.0),
)
"""Corners of the learning-rate curve: step and factor."""
LEARNING_RATE = 4e-3
LAST_PHASE_SHARE = 0.65
"""The result is an average of the weights before and after the last phase; this is the share of the
latter.  It keeps more of what was learned before (Wortsman et al. 2022, arXiv:2109.01903)."""
MINUTES_BETWEEN_CHECKPOINTS = 5.0


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
    """Learning-rate factor of a step: the curve through ``RATES``."""
    for (begin, low), (end, high) in itertools.pairwise(RATES):
        if begin <= step < end:
            return low + (high - low) * (step + 1 - begin) / (end - begin)
    return 0.0


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

    def __init__(self, folder: Path, seed: int, publish: bool) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        self.publish = publish
        self.checkpoint = folder / "checkpoint.pt"
        self.tokenizer = prepare_tokenizer(folder, seed)
        self.model = DemoLlama(ModelConfig(self.tokenizer.get_vocab_size()))
        self.optimizers = optimizers(self.model)
        self.step = 0
        self.seen = 0
        self.spent = 0.0
        self.base: dict[str, Tensor] = {}
        if self.checkpoint.exists():
            self.load()
        self.started = self.last_save = time.monotonic()

    def load(self) -> None:
        """Go on from the checkpoint."""
        saved = torch.load(self.checkpoint)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seen, self.spent = saved["step"], saved["seen"], saved["seconds"]
        self.base = saved.get("base", {})
        print(f"resuming after step {self.step}", flush=True)

    def save(self) -> None:
        """Write the checkpoint, and the model folder if that is wished."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "base": self.base,
            "step": self.step,
            "seen": self.seen,
            "seconds": self.spent + time.monotonic() - self.started,
        }
        torch.save(state, self.checkpoint.with_suffix(".tmp"))
        os.replace(self.checkpoint.with_suffix(".tmp"), self.checkpoint)
        self.last_save = time.monotonic()
        if self.publish:
            export(self.model, self.tokenizer)

    def keep_base(self) -> None:
        """Remember the weights of this moment for ``average``."""
        self.base = {name: value.clone() for name, value in self.model.state_dict().items()}

    def average(self) -> None:
        """Mix the remembered weights in, once."""
        if self.base:
            weights = self.model.state_dict()
            mixed = {
                name: torch.lerp(before, weights[name], LAST_PHASE_SHARE)
                for name, before in self.base.items()
            }
            self.model.load_state_dict(mixed)
            self.base = {}

    def phase(self, number: int, begin: int, end: int) -> None:
        """Train on one mixture of the corpus up to step ``end``."""
        groups = geometry(self.tokenizer, self.seed, number, TOKENS_PER_BATCH)
        size = sum(count * length for count, length in groups)
        print(f"phase {number + 1}: {size} tokens per step in {groups}", flush=True)
        stream = batches(self.tokenizer, self.seed, number, groups, skip=self.step - begin)
        window: list[Tensor] = []
        first, started = self.step, time.monotonic()
        while self.step < end:
            window.append(self.update(next(stream), groups))
            self.seen += size
            self.step += 1
            if self.step % 10 == 0 or self.step == end:
                speed = (self.step - first) / (time.monotonic() - started)
                print(
                    f"step {self.step}/{STEPS}  loss {torch.stack(window).mean():.4f}  "
                    f"rate {rate(self.step):.2f}  {speed * size:.0f} tokens/s  "
                    f"{(STEPS - self.step) / speed / 60:.1f} min left",
                    flush=True,
                )
                window.clear()
            if time.monotonic() - self.last_save > MINUTES_BETWEEN_CHECKPOINTS * 60:
                self.save()

    def update(self, batch: Batch, groups: list[Group]) -> Tensor:
        """One optimizer step; returns the loss."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * rate(self.step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.model.loss(batch.tokens, batch.targets, batch.weights, groups)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def train(folder: Path, seed: int, compiled: bool, publish: bool) -> None:
    """Run or resume the training; the result is the checkpoint in ``folder``."""
    run = Run(folder, seed, publish)
    print(f"{sum(p.numel() for p in run.model.parameters())} parameters", flush=True)
    ends = (*PHASE_STARTS[1:], STEPS)
    for number, (begin, end) in enumerate(zip(PHASE_STARTS, ends, strict=True)):
        if run.step >= end:
            continue
        if run.step == PHASE_STARTS[-1]:
            run.keep_base()
        if compiled:
            torch.compiler.reset()
            for layer in run.model.model.layers:
                layer.compile()
        run.phase(number, begin, end)
    run.average()
    run.save()
    minutes = (run.spent + time.monotonic() - run.started) / 60
    print(f"trained on {run.seen} tokens in {minutes:.1f} minutes", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=WORK_FOLDER, help="checkpoints go here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    parser.add_argument("--publish", action="store_true", help="export at every checkpoint")
    options = parser.parse_args()
    train(options.folder, options.seed, not options.no_compile, options.publish)


if __name__ == "__main__":
    main()
