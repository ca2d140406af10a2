"""What the short prompts of ``test_family_oracle`` do not show: patterns of attention, masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.models.equality import c_kernels
from tests.models.family_helpers import make_family
from tests.models.model_helpers import HandDriver, load_tiny, oracle_logits, random_tokens
from tests.models.variant_cases import VARIANT_CASES


@pytest.mark.parametrize("name", ["phi3-small", "phi3-small-128k", "gpt-oss", "llama4", "bloom"])
def test_long_prompt_equals_oracle(name: str, tmp_path: Path) -> None:
    oracle = make_family(tmp_path, VARIANT_CASES[name])
    driver = HandDriver(load_tiny(tmp_path, kernels=c_kernels()))
    prompt = random_tokens(250, 199)
    parts = [driver.step({"p": prompt[first : first + 90]})["p"] for first in range(0, 250, 90)]
    found, expected = torch.cat(parts), oracle_logits(oracle, prompt)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_masked_tokens_never_come(tmp_path: Path) -> None:
    case = VARIANT_CASES["phi3-small"]
    masked = {**case.config, "dummy_token_indices": [3, 190]}
    oracle = make_family(tmp_path, replace(case, config=masked))
    prompt = random_tokens(9, 199)
    found = HandDriver(load_tiny(tmp_path)).step({"p": prompt})["p"]
    assert (found[:, [3, 190]] == torch.finfo(torch.float32).min).all()
    torch.testing.assert_close(found, oracle_logits(oracle, prompt), atol=1e-3, rtol=0)
