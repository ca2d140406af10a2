"""A model without a page, behind the scheduler: auto takes transformers' module for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sglang.bench.in_process import InProcessEngine
from sglang.srt.managers.engine_setup import build_engine
from sglang.srt.managers.weight_update import update_weights
from sglang.srt.models.transformers_model import TransformersModel
from sglang.srt.server_args import ServerArgs
from tests.models.family_helpers import Case, make_family
from tests.models.model_helpers import oracle_greedy, random_tokens

NANOCHAT = Case("NanoChat", {"head_dim": ..., "hidden_size": 64, "num_key_value_heads": 4})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("nanochat")
    make_family(folder, NANOCHAT)
    return folder


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def make_args(folder: Path, **options: Any) -> ServerArgs:
    return ServerArgs(
        model_path=str(folder),
        device="cpu",
        dtype="float32",
        skip_tokenizer_init=True,
        max_total_tokens=512,
        **options,
    )


def answers(engine: InProcessEngine, prompts: list[list[int]], length: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]
    for step in engine.run(prompts, [length] * len(prompts)):
        for output in step.outputs:
            found[int(output.rid)] += output.token_ids
    return found


def test_answers_in_company_in_chunks_and_from_the_cache(folder: Path, oracle: Any) -> None:
    engine = InProcessEngine(make_args(folder, chunked_prefill_size=16))
    prompts = [random_tokens(n, 199, seed=n) for n in (40, 5, 23)]
    expected = [oracle_greedy(oracle, prompt, 12) for prompt in prompts]
    assert answers(engine, prompts, 12) == expected
    again = [prompts[0] + expected[0], prompts[0][:30]]
    cached = [
        output.cached_tokens
        for output in engine.run(again, [1, 1])[-1].outputs
        if output.finish is not None
    ]
    assert max(cached, default=0) > 0
    assert answers(engine, again, 8) == [oracle_greedy(oracle, prompt, 8) for prompt in again]


def test_forward_pass_is_not_recorded(folder: Path) -> None:
    engine = build_engine(make_args(folder), str(folder))
    assert isinstance(engine.runner.model, TransformersModel)
    assert engine.runner._forward.replay is None


def test_new_weights_are_served(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    new = Path(shutil.copytree(folder, tmp_path / "new"))
    tensors = load_file(new / "model.safetensors")
    tensors["lm_head.weight"] = tensors["lm_head.weight"].flip(0).contiguous()
    save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
    engine = build_engine(make_args(folder), str(folder))
    hidden = torch.randn(2, 64)
    before = engine.runner.model.logits(hidden)
    assert update_weights(engine, str(new), "auto") is None
    # The soft cap of this family's scores does not change their order.
    torch.testing.assert_close(engine.runner.model.logits(hidden), before.flip(1))


def test_weights_with_other_rotary_positions_are_refused(folder: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(folder, tmp_path / "new"))
    text = (new / "config.json").read_text()
    assert '"rope_theta": 10000.0' in text
    (new / "config.json").write_text(text.replace("10000.0", "500.0"))
    engine = build_engine(make_args(folder), str(folder))
    problem = update_weights(engine, str(new), "auto")
    assert problem is not None
    assert "rope_parameters" in problem
