"""However a sequence is cut, mixed with others or started from a shared prefix: same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.models.interface import CausalLM
from tests.models.equality import c_kernels
from tests.models.model_helpers import HandDriver, load_tiny, make_tiny_checkpoint, random_tokens

LENGTHS = {"a": 37, "b": 5, "c": 1, "d": 64}


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0.0)


@pytest.fixture(scope="module", params=["llama", "mistral", "qwen2", "qwen3", "llama-cpu-c"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CausalLM:
    family = request.param.removesuffix("-cpu-c")
    overrides: dict[str, Any] = {"sliding_window": 6} if family == "mistral" else {}
    folder = make_tiny_checkpoint(tmp_path_factory.mktemp("model"), family, **overrides)
    return load_tiny(folder, kernels=None if family == request.param else c_kernels(torch.float32))


@pytest.fixture(scope="module")
def prompts() -> dict[str, list[int]]:
    return {
        name: random_tokens(length, 199, seed=index)
        for index, (name, length) in enumerate(LENGTHS.items())
    }


@pytest.fixture(scope="module")
def alone(model: CausalLM, prompts: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Logits of each prompt, read whole and by itself."""
    return {name: HandDriver(model).step({name: prompt})[name] for name, prompt in prompts.items()}


def test_batch_equals_alone(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor]
) -> None:
    together = HandDriver(model, seed=1).step(dict(prompts))
    for name, expected in alone.items():
        assert_same(together[name], expected)


@pytest.mark.parametrize("size", [1, 3, 16, 63])
def test_chunks_equal_whole(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor], size: int
) -> None:
    driver = HandDriver(model, seed=2)
    prompt = prompts["d"]
    parts = [
        driver.step({"d": prompt[first : first + size]})["d"]
        for first in range(0, len(prompt), size)
    ]
    assert_same(torch.cat(parts), alone["d"])


def test_mixed_prefill_and_decode_equal_alone(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor]
) -> None:
    driver = HandDriver(model, seed=3)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in prompts}
    done = dict.fromkeys(prompts, 0)
    # "a" decodes token by token while the others arrive in chunks of 20.
    while pending := [name for name in prompts if done[name] < len(prompts[name])]:
        work = {}
        for name in pending:
            size = 1 if name == "a" else 20
            work[name] = prompts[name][done[name] : done[name] + size]
            done[name] += len(work[name])
        for name, logits in driver.step(work).items():
            found[name].append(logits)
    for name, expected in alone.items():
        assert_same(torch.cat(found[name]), expected)


@pytest.mark.parametrize("shared", [1, 20, 63])
def test_prefix_hit_equals_whole(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor], shared: int
) -> None:
    driver = HandDriver(model, seed=4)
    prompt = prompts["d"]
    driver.step({"first": [*prompt[:shared], 7, 8, 9]})
    driver.share_prefix("first", "second", shared)
    rest = driver.step({"second": prompt[shared:]})["second"]
    assert_same(rest, alone["d"][shared:])


def test_greedy_in_a_batch_equals_greedy_alone(
    model: CausalLM, prompts: dict[str, list[int]]
) -> None:
    driver = HandDriver(model, seed=5)
    tokens: dict[str, list[int]] = {name: [] for name in prompts}
    work = dict(prompts)
    for _ in range(24):
        for name, logits in driver.step(work).items():
            tokens[name].append(int(logits[-1].argmax()))
        work = {name: generated[-1:] for name, generated in tokens.items()}
    for name, prompt in prompts.items():
        assert tokens[name] == HandDriver(model).greedy(name, prompt, 24)


def test_only_the_wanted_rows_are_returned_in_their_order(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor]
) -> None:
    driver = HandDriver(model, seed=6)
    batch = driver.make_batch({"a": prompts["a"], "d": prompts["d"]})
    batch.logits_rows = torch.tensor([100, 36, 36, 0])
    with torch.inference_mode():
        hidden = model.forward(batch)
        logits = model.logits(hidden)
    assert hidden.shape[0] == 4
    expected = [alone["d"][63], alone["a"][36], alone["a"][36], alone["a"][0]]
    assert_same(logits, torch.stack(expected))


def test_keys_and_values_are_written_for_unwanted_rows_too(
    model: CausalLM, prompts: dict[str, list[int]], alone: dict[str, torch.Tensor]
) -> None:
    driver = HandDriver(model, seed=7)
    batch = driver.make_batch({"d": prompts["d"][:40]})
    batch.logits_rows = torch.empty(0, dtype=torch.int64)
    with torch.inference_mode():
        assert model.forward(batch).shape[0] == 0
    assert_same(driver.step({"d": prompts["d"][40:]})["d"], alone["d"][40:])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_c_kernels_give_the_same_bits_in_any_batch(dtype: str, tmp_path: Path) -> None:
    precision: torch.dtype = getattr(torch, dtype)
    kernels = c_kernels(precision)
    model = load_tiny(make_tiny_checkpoint(tmp_path), dtype=dtype, kernels=kernels)
    prompt = random_tokens(50, 199)
    whole = HandDriver(model, dtype=precision).step({"p": prompt})["p"]

    driver = HandDriver(model, dtype=precision, seed=1)
    parts = [driver.step({"p": prompt[:13], "q": prompt[:30]})["p"]]
    parts.append(driver.step({"q": prompt[30:], "p": prompt[13:14]})["p"])
    parts.append(driver.step({"r": prompt, "p": prompt[14:]})["p"])
    assert torch.equal(torch.cat(parts), whole)
