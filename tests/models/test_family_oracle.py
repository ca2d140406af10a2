"""Every family equals transformers, alone and in company, recorded and quantized."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.server_args import ServerArgs
from tests.models.equality import (
    VOCABULARY,
    Family,
    assert_greedy,
    assert_greedy_in_a_batch,
    assert_same,
    c_kernels,
    logits_in_company,
)
from tests.models.family_helpers import CASES, Case, make_family
from tests.models.mla_cases import MLA_CASES
from tests.models.model_helpers import HandDriver, load_tiny, oracle_logits, random_tokens
from tests.models.moe_cases import MOE_CASES
from tests.models.variant_cases import VARIANT_CASES

STEPS = 64
ALL_CASES = {**CASES, **MOE_CASES, **MLA_CASES, **VARIANT_CASES}


@pytest.fixture(scope="module", params=ALL_CASES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("model")
    oracle = make_family(folder, ALL_CASES[request.param])
    return Family(folder, oracle, load_tiny(folder, kernels=c_kernels()))


@pytest.fixture(scope="module")
def alone(family: Family) -> torch.Tensor:
    """Logits of a prompt that is read whole and by itself."""
    return HandDriver(family.model).step({"p": random_tokens(50, VOCABULARY)})["p"]


def typical_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, of the median token: a few may go to other experts."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).median())


def test_prompt_equals_transformers(family: Family, alone: torch.Tensor) -> None:
    expected = oracle_logits(family.oracle, random_tokens(50, VOCABULARY))
    assert_same(alone, expected)
    assert_same(alone.log_softmax(-1), expected.log_softmax(-1))


def test_reference_kernels_equal_c_kernels(family: Family, alone: torch.Tensor) -> None:
    model = load_tiny(family.folder)
    assert_same(HandDriver(model).step({"p": random_tokens(50, VOCABULARY)})["p"], alone)


def test_answer_equals_transformers(family: Family) -> None:
    prompt = random_tokens(23, VOCABULARY, seed=1)
    assert_greedy(HandDriver(family.model).greedy("p", prompt, STEPS), prompt, family.oracle)


def test_answers_in_a_batch_equal_transformers(family: Family) -> None:
    assert_greedy_in_a_batch(family, 20)


def test_chunks_beside_others_and_a_prefix_hit_change_nothing(
    family: Family, alone: torch.Tensor
) -> None:
    prompt = random_tokens(50, VOCABULARY)
    chunked, after_hit = logits_in_company(family.model, prompt, hit=33)
    assert torch.equal(chunked, alone)
    assert torch.equal(after_hit, alone[33:])


def test_only_the_wanted_rows_are_computed(family: Family, alone: torch.Tensor) -> None:
    driver = HandDriver(family.model, seed=3)
    batch = driver.make_batch({"p": random_tokens(50, VOCABULARY)})
    batch.logits_rows = torch.tensor([49, 3])
    with torch.inference_mode():
        logits = family.model.logits(family.model.forward(batch))
    assert torch.equal(logits, alone[[49, 3]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_forward_pass_is_recorded(family: Family, dtype: str) -> None:
    """A recording is used only where it was seen to give the same bits as a plain run."""
    args = ServerArgs(model_path=str(family.folder), dtype=dtype, device="cpu")
    engine = build_engine(args, str(family.folder))
    assert engine.runner._forward.replay is not None


def test_bfloat16_is_close_to_float32(family: Family, alone: torch.Tensor) -> None:
    model = load_tiny(family.folder, dtype="bfloat16", kernels=c_kernels(torch.bfloat16))
    driver = HandDriver(model, dtype=torch.bfloat16)
    found = driver.step({"p": random_tokens(50, VOCABULARY)})["p"]
    assert typical_error(found, alone) < 0.15


@pytest.mark.parametrize(("name", "largest"), [("int8wo", 0.1), ("int4wo-32", 0.9)])
def test_quantized_is_close_to_exact(
    family: Family, alone: torch.Tensor, name: str, largest: float
) -> None:
    model = load_tiny(family.folder, kernels=c_kernels(), quantization=name)
    found = HandDriver(model).step({"p": random_tokens(50, VOCABULARY)})["p"]
    assert 0 < typical_error(found, alone) < largest


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 500.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0],
}


@pytest.mark.parametrize(("context_length", "prompt_length"), [(64, 20), (None, 70)])
def test_longrope_equals_transformers(
    context_length: int | None, prompt_length: int, tmp_path: Path
) -> None:
    options = {
        "head_dim": ...,
        "hidden_size": 64,
        "rope_parameters": LONGROPE,
        "original_max_position_embeddings": 64,
    }
    oracle = make_family(tmp_path, Case("Phi3", options))
    model = load_tiny(tmp_path, kernels=c_kernels(), context_length=context_length)
    prompt = random_tokens(prompt_length, VOCABULARY)
    logits = HandDriver(model).step({"p": prompt})["p"]
    assert_same(logits, oracle_logits(oracle, prompt))
    assert_greedy(HandDriver(model).greedy("p", prompt, 40), prompt, oracle)
