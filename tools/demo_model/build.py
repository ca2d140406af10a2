"""Builds the demo model from nothing: ``python -m tools.demo_model``.

Corpus and tokenizer, training, export, evaluation, model card.  A stopped build goes on from its
last checkpoint; ``--fresh`` begins again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from .card import write_card
from .evaluate import TransformersBackend, good_enough, results
from .export import PACKAGE_FOLDER, export
from .model import DemoLlama, ModelConfig
from .train import STEPS, WORK_FOLDER, train


def load_checkpoint(folder: Path) -> tuple[DemoLlama, Tokenizer, dict[str, float]]:
    """The network of the last checkpoint, its tokenizer, and the numbers of the run so far."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved = torch.load(folder / "checkpoint.pt")
    model = DemoLlama(ModelConfig(tokenizer.get_vocab_size()))
    model.load_state_dict(saved["model"])
    keys = ("step", "seen", "seconds", "processor_seconds")
    return model, tokenizer, {key: saved[key] for key in keys}


def finish(work: Path, out: Path) -> bool:
    """Export the last checkpoint, evaluate what was exported, write the card."""
    model, tokenizer, numbers = load_checkpoint(work)
    export(model, tokenizer, out)
    found = results(TransformersBackend(out), show_errors=True)
    write_card(out, model, numbers, found)
    return good_enough(found)


def main() -> int:
    """Command line; the exit status is 1 if the model is not good enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER, help="checkpoints go here")
    parser.add_argument("--out", type=Path, default=PACKAGE_FOLDER, help="the model goes here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer for a trial")
    parser.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    parser.add_argument("--fresh", action="store_true", help="forget the last checkpoint")
    parser.add_argument(
        "--skip-training", action="store_true", help="use the last checkpoint as is"
    )
    options = parser.parse_args()
    if options.fresh:
        shutil.rmtree(options.work, ignore_errors=True)
    if not options.skip_training:
        train(options.work, options.seed, not options.no_compile, options.steps)
    return 0 if finish(options.work, options.out) else 1


if __name__ == "__main__":
    sys.exit(main())
