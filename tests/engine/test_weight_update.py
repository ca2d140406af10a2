"""New weights in a running engine: all or nothing, and never in the middle of an answer."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import TokenizedRequest, UpdateWeights
from sglang.srt.managers.weight_update import SUCCESS, WeightUpdates, update_weights
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import make_tiny_checkpoint

PROMPTS = [[5, 7, 11, 13], list(range(20, 60))]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three of one shape and some that are not."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "first": make_tiny_checkpoint(folder / "first", seed=1),
        "second": make_tiny_checkpoint(folder / "second", seed=2),
        "bin": make_tiny_checkpoint(folder / "bin", seed=2, weights="bin"),
        "tied": make_tiny_checkpoint(folder / "tied", seed=3, tie_word_embeddings=True),
        "tied too": make_tiny_checkpoint(folder / "tied2", seed=4, tie_word_embeddings=True),
        "wider": make_tiny_checkpoint(folder / "wider", seed=1, intermediate_size=96),
        "qwen3": make_tiny_checkpoint(folder / "qwen3", "qwen3"),
    }
    made["other base"] = make_tiny_checkpoint(
        folder / "base", seed=1, rope_parameters={"rope_type": "default", "rope_theta": 77.0}
    )
    return made


def make_engine(folder: Path, **options: Any) -> Engine:
    args = ServerArgs(model_path=str(folder), dtype="float32", device="cpu", **options)
    return build_engine(args, str(folder))


def message(rid: str, prompt: list[int], count: int = 8) -> TokenizedRequest:
    params = SamplingParams(max_new_tokens=count, ignore_eos=True, temperature=0.0)
    return TokenizedRequest(rid, np.array(prompt, dtype="<i4").tobytes(), params)


def step_until_idle(engine: Engine) -> dict[str, list[int]]:
    tokens: dict[str, list[int]] = {}
    while not engine.scheduler.is_idle:
        for output in engine.scheduler.step():
            tokens.setdefault(output.rid, []).extend(output.token_ids)
    engine.scheduler.on_idle()
    return tokens


def answers(engine: Engine) -> dict[str, list[int]]:
    for i, prompt in enumerate(PROMPTS):
        engine.scheduler.receive(message(str(i), prompt))
    return step_until_idle(engine)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"disable_cpu_plan": True},
        {"attention_backend": "torch_native"},
        {"quantization": "w8a8_int8"},
        {"torchao_config": "int4wo-32"},
        {"kv_cache_dtype": "int8"},
    ],
    ids=str,
)
def test_answers_are_those_of_a_new_start(
    checkpoints: dict[str, Path], options: dict[str, Any]
) -> None:
    engine = make_engine(checkpoints["first"], **options)
    before = answers(engine)
    for name in ("second", "first"):
        assert update_weights(engine, str(checkpoints[name]), "auto") is None
        found = answers(engine)
        assert found == answers(make_engine(checkpoints[name], **options))
        assert (found == before) == (name == "first")


def test_tied_embeddings_and_other_formats(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["tied"])
    assert update_weights(engine, str(checkpoints["tied too"]), "auto") is None
    assert answers(engine) == answers(make_engine(checkpoints["tied too"]))
    engine = make_engine(checkpoints["first"])
    assert update_weights(engine, str(checkpoints["bin"]), "pt") is None
    assert answers(engine) == answers(make_engine(checkpoints["second"]))


def test_weights_without_a_configuration_will_do(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").symlink_to(checkpoints["second"] / "model.safetensors")
    engine = make_engine(checkpoints["first"])
    assert update_weights(engine, str(tmp_path), "auto") is None
    assert answers(engine) == answers(make_engine(checkpoints["second"]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wider", "has intermediate_size 96, the model that is served has 88"),
        ("qwen3", "is a Qwen3ForCausalLM, and a LlamaForCausalLM is served"),
        ("tied", "has tie_embeddings True, the model that is served has False"),
        ("other base", "has ropes "),
    ],
)
def test_another_model_is_refused_and_the_old_one_stays(
    checkpoints: dict[str, Path], name: str, reason: str
) -> None:
    engine = make_engine(checkpoints["first"])
    before = answers(engine)
    problem = update_weights(engine, str(checkpoints[name]), "auto")
    assert problem is not None
    assert problem.startswith("Failed to update weights: ")
    assert reason in problem
    assert answers(engine) == before


def test_tensors_of_another_shape_are_refused_by_name(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").symlink_to(checkpoints["wider"] / "model.safetensors")
    engine = make_engine(checkpoints["first"])
    before = answers(engine)
    problem = update_weights(engine, str(tmp_path), "auto")
    assert problem is not None
    assert "gate_proj.weight has shape [96, 48], expected [88, 48]" in problem
    assert answers(engine) == before


def test_a_damaged_file_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    data = (checkpoints["second"] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    engine = make_engine(checkpoints["first"])
    before = answers(engine)
    problem = update_weights(engine, str(tmp_path), "auto")
    assert problem is not None
    assert problem.startswith("Failed to get weights iterator: ")
    assert answers(engine) == before


def test_a_folder_without_weights_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    problem = update_weights(make_engine(checkpoints["first"]), str(tmp_path), "auto")
    assert problem is not None
    assert "has no weights" in problem


def test_the_prefix_cache_is_flushed(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["first"])
    answers(engine)
    assert engine.scheduler.memory.cache.size > 0
    update_weights(engine, str(checkpoints["second"]), "auto")
    assert engine.scheduler.memory.cache.size == 0


def test_a_failure_keeps_the_prefix_cache(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["first"])
    answers(engine)
    size = engine.scheduler.memory.cache.size
    assert update_weights(engine, str(checkpoints["wider"]), "auto") is not None
    assert engine.scheduler.memory.cache.size == size > 0


def test_the_old_weights_are_freed(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["first"])
    old = weakref.ref(engine.runner.model)
    update_weights(engine, str(checkpoints["second"]), "auto")
    gc.collect()
    assert old() is None


def test_no_more_than_old_and_new_are_alive_while_loading(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Any]] = []
    engine = make_engine(checkpoints["first"])
    replace = type(engine.runner).replace_model

    def watched(runner: Any, model: Any) -> None:
        alive.append(weakref.ref(model))
        gc.collect()
        assert sum(ref() is not None for ref in alive) <= 2
        replace(runner, model)

    monkeypatch.setattr(type(engine.runner), "replace_model", watched)
    for name in ("second", "first", "second"):
        assert update_weights(engine, str(checkpoints[name]), "auto") is None


def test_what_has_begun_ends_first_and_what_comes_meanwhile_waits(
    checkpoints: dict[str, Path],
) -> None:
    engine = make_engine(checkpoints["first"])
    old, new = answers(engine), answers(make_engine(checkpoints["second"]))
    updates = WeightUpdates(engine)
    engine.scheduler.receive(message("begun", PROMPTS[0]))
    engine.scheduler.step()
    updates.ask(UpdateWeights(1, str(checkpoints["second"]), "auto"))
    engine.scheduler.receive(message("later", PROMPTS[1]))
    tokens: dict[str, list[int]] = {"begun": old["0"][:1]}
    while not updates.is_due:
        for output in engine.scheduler.step():
            tokens.setdefault(output.rid, []).extend(output.token_ids)
    assert tokens == {"begun": old["0"]}
    reply = updates.apply()
    assert (reply.id, reply.ok, reply.message) == (1, True, SUCCESS)
    assert step_until_idle(engine) == {"later": new["1"]}


def test_a_retracted_request_counts_as_begun(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["first"], max_total_tokens=90, schedule_conservativeness=0.01)
    alone = make_engine(checkpoints["first"])
    prompts = {str(i): [3 + i] * 20 for i in range(3)}
    for rid, prompt in prompts.items():
        alone.scheduler.receive(message(rid, prompt, 40))
        engine.scheduler.receive(message(rid, prompt, 40))
    expected = step_until_idle(alone)
    found: dict[str, list[int]] = {}
    updates = WeightUpdates(engine)
    while not updates.is_due:
        for output in engine.scheduler.step():
            found.setdefault(output.rid, []).extend(output.token_ids)
        if engine.scheduler.stats.retractions == 1 and engine.scheduler.admits_new:
            updates.ask(UpdateWeights(1, str(checkpoints["second"]), "auto"))
    assert engine.scheduler.stats.retractions > 0
    assert found == {rid: expected[rid] for rid in found}
    assert updates.apply().ok


def test_updates_come_one_by_one(checkpoints: dict[str, Path]) -> None:
    engine = make_engine(checkpoints["first"])
    updates = WeightUpdates(engine)
    for number, name in enumerate(("second", "wider", "first")):
        updates.ask(UpdateWeights(number, str(checkpoints[name]), "auto"))
    replies = []
    while updates.is_due:
        assert not engine.scheduler.admits_new
        replies.append(updates.apply())
    assert [(reply.id, reply.ok) for reply in replies] == [(0, True), (1, False), (2, True)]
    assert engine.scheduler.admits_new
    assert torch.is_tensor(engine.runner.model.logits(torch.zeros(1, 48)))
