"""What it means that a model equals transformers, alone and in company."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.kernels import select_kernels
from sglang.srt.kernels.cpu.build import KernelBuildError
from sglang.srt.kernels.interface import Kernels
from sglang.srt.models.interface import CausalLM
from tests.models.model_helpers import HandDriver, oracle_logits, random_tokens

VOCABULARY = 199


@dataclass(frozen=True)
class Family:
    """A checkpoint, read by transformers and by us."""

    folder: Path
    oracle: Any
    model: CausalLM


def c_kernels(dtype: torch.dtype = torch.float32) -> Kernels:
    """Skips the test where they cannot be built."""
    try:
        return select_kernels("cpu", dtype, prefer="cpu-c")
    except KernelBuildError as error:
        pytest.skip(f"no C kernels on this machine: {error}")


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def assert_greedy(tokens: list[int], prompt: list[int], oracle: Any) -> None:
    """Each token is the one the oracle would have chosen after those before it."""
    scores = oracle_logits(oracle, [*prompt, *tokens])
    assert tokens == scores[len(prompt) - 1 : -1].argmax(-1).tolist()


def assert_greedy_in_a_batch(family: Family, steps: int) -> None:
    """The same for prompts of several lengths that are answered together."""
    prompts = {str(n): random_tokens(n, VOCABULARY, seed=n) for n in (1, 9, 40)}
    driver = HandDriver(family.model, seed=1)
    tokens: dict[str, list[int]] = {name: [] for name in prompts}
    work = dict(prompts)
    for _ in range(steps):
        for name, logits in driver.step(work).items():
            tokens[name].append(int(logits[-1].argmax()))
        work = {name: generated[-1:] for name, generated in tokens.items()}
    for name, prompt in prompts.items():
        assert_greedy(tokens[name], prompt, family.oracle)


def logits_in_company(model: CausalLM, prompt: list[int], hit: int) -> list[torch.Tensor]:
    """Logits of ``prompt`` [T, V] read in chunks beside others, and [T - hit, V] after a hit."""
    driver = HandDriver(model, seed=2)
    parts = []
    for first in range(0, len(prompt), 16):
        others = random_tokens(3, VOCABULARY, seed=first)
        parts.append(driver.step({"p": prompt[first : first + 16], "q": others})["p"])
    driver.share_prefix("p", "r", hit)
    return [torch.cat(parts), driver.step({"r": prompt[hit:]})["r"]]
