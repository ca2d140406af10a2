"""The family that docs/add-a-model.md walks through equals transformers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.srt.models.registry import ModelRegistry
from tests.models.family_helpers import Case, make_family
from tests.models.model_helpers import HandDriver, load_tiny, oracle_logits, random_tokens

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-model.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
ARCHITECTURE = "Starcoder2ForCausalLM"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The class of the page's first block."""
    (source,) = (block for block in BLOCKS if f"class {ARCHITECTURE}" in block)
    names: dict[str, Any] = {"__name__": "starcoder2"}
    exec(compile(source, str(PAGE), "exec"), names)
    ModelRegistry.models[ARCHITECTURE] = names[ARCHITECTURE]
    yield
    del ModelRegistry.models[ARCHITECTURE]


def case_of_the_page() -> Case:
    (source,) = (block for block in BLOCKS if "Case(" in block)
    call = ast.parse("{" + source + "}", mode="eval").body
    assert isinstance(call, ast.Dict)
    case: Case = eval(ast.unparse(call.values[0]), {"Case": Case})
    return case


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "tie_word_embeddings": False}])
def test_the_example_equals_transformers(options: dict[str, Any], tmp_path: Path) -> None:
    case = case_of_the_page()
    oracle = make_family(tmp_path, Case(case.oracle, {**case.config, **options}))
    model, prompt = load_tiny(tmp_path), random_tokens(40, 199)
    expected = oracle_logits(oracle, prompt)
    found = HandDriver(model).step({"p": prompt})["p"]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
