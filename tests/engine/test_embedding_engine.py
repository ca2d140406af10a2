"""Embeddings and scores are those of transformers, whatever the schedule and the company."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import AbortRequest, RequestOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import make_tiny_checkpoint
from tests.models.pooled_helpers import (
    CLASSIFIERS,
    DECODERS,
    ENCODER,
    REWARD_MODEL,
    WEIGHTED_MODEL,
    expected_embedding,
    expected_scores,
    make_pooled_checkpoint,
)

Vectors = dict[str, NDArray[np.float32]]
POOLINGS = {"last": "lasttoken", "mean": "mean_tokens", "cls": "cls_token"}


def prompts() -> dict[str, list[int]]:
    """Of 1 to 256 tokens, the context; some share 40."""
    rng = np.random.default_rng(0)
    shared = rng.integers(3, 199, 40).tolist()
    own = {f"own {n}": rng.integers(3, 199, n).tolist() for n in (1, 3, 17, 90, 256)}
    return own | {f"shared {n}": shared + rng.integers(3, 199, n).tolist() for n in (1, 5, 30)}


def make_engine(folder: Path, **arguments: Any) -> Engine:
    args = ServerArgs(model_path=str(folder), dtype="float32", device="cpu", **arguments)
    return build_engine(args, str(folder))


def message(rid: str, prompt: list[int]) -> TokenizedRequest:
    ids = np.array(prompt, dtype="<i4").tobytes()
    return TokenizedRequest(rid, ids, SamplingParams(max_new_tokens=0), is_embedding=True)


def run(engine: Engine, wanted: dict[str, list[int]]) -> list[RequestOutput]:
    for rid, prompt in wanted.items():
        engine.scheduler.receive(message(rid, prompt))
    outputs = []
    while not engine.scheduler.is_idle:
        outputs += engine.scheduler.step()
    engine.scheduler.on_idle()
    return outputs


def vectors(engine: Engine, wanted: dict[str, list[int]]) -> Vectors:
    found = {}
    for output in run(engine, wanted):
        assert output.embedding is not None and output.finish is not None
        found[output.rid] = np.frombuffer(output.embedding, dtype="<f4")
    return found


def assert_close(found: Vectors, expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.allclose(found[name], value.numpy(), atol=1e-4), name


@pytest.mark.parametrize("architecture", DECODERS)
def test_embeddings_are_those_of_transformers(tmp_path: Path, architecture: str) -> None:
    more = {"sliding_window": 20} if architecture == "MistralModel" else {}
    folder = make_pooled_checkpoint(tmp_path / "model", architecture, **more)
    expected = {name: expected_embedding(folder, prompt) for name, prompt in prompts().items()}
    assert_close(vectors(make_engine(folder, chunked_prefill_size=16), prompts()), expected)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_model_of_text_embeds_when_it_is_told_to(tmp_path: Path, family: str) -> None:
    folder = make_tiny_checkpoint(tmp_path / "model", family)
    expected = {name: expected_embedding(folder, prompt) for name, prompt in prompts().items()}
    assert_close(vectors(make_engine(folder, is_embedding=True), prompts()), expected)


@pytest.mark.parametrize("architecture", [*CLASSIFIERS, REWARD_MODEL, WEIGHTED_MODEL])
def test_scores_are_those_of_transformers(tmp_path: Path, architecture: str) -> None:
    labels = {"num_labels": 3} if architecture in CLASSIFIERS else {}
    folder = make_pooled_checkpoint(tmp_path / "model", architecture, **labels)
    expected = {name: expected_scores(folder, prompt) for name, prompt in prompts().items()}
    assert_close(vectors(make_engine(folder, chunked_prefill_size=16), prompts()), expected)


@pytest.mark.parametrize("flag", [None, *POOLINGS.values()])
def test_an_encoder_sees_whole_prompts(tmp_path: Path, flag: str | None) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", ENCODER, pooling=flag)
    pooling = next((name for name, value in POOLINGS.items() if value == flag), "mean")
    expected = {name: expected_embedding(folder, ids, pooling) for name, ids in prompts().items()}
    engine = make_engine(folder, chunked_prefill_size=16, max_total_tokens=300)
    assert_close(vectors(engine, prompts()), expected)
    assert_close(vectors(engine, prompts()), expected)
    assert engine.scheduler.stats.cached_tokens == 0


@pytest.mark.parametrize("architecture", ["RobertaModel", "XLMRobertaModel"])
def test_roberta_counts_from_behind_its_padding(tmp_path: Path, architecture: str) -> None:
    more = {"pad_token_id": 1, "max_position_embeddings": 258, "type_vocab_size": 1}
    folder = make_pooled_checkpoint(tmp_path / "model", architecture, **more)
    expected = {name: expected_embedding(folder, ids, "mean") for name, ids in prompts().items()}
    engine = make_engine(folder)
    assert engine.config.context_length == 256
    assert_close(vectors(engine, prompts()), expected)


def test_an_encoder_has_no_more_positions_than_it_was_made_with(tmp_path: Path) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", ENCODER)
    with pytest.raises(ValueError, match="context_length is 300; the model has 256 positions"):
        make_engine(folder, context_length=300)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "relative positions"),
        ({"hidden_act": "silu"}, "hidden_act 'silu'"),
    ],
)
def test_variants_of_an_encoder_are_refused(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", ENCODER)
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        make_engine(folder)


def test_a_bidirectional_decoder_is_refused(tmp_path: Path) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", "Qwen2Model", is_causal=False)
    with pytest.raises(ValueError, match="'is_causal': false"):
        make_engine(folder)


SCHEDULES: dict[str, dict[str, Any]] = {
    "batched": {},
    "chunks of 7": {"chunked_prefill_size": 7},
    "whole prompts": {"chunked_prefill_size": -1},
    "two at a time": {"max_running_requests": 2},
    "hardly any room": {"max_total_tokens": 256},
    "no recorded forward": {"disable_cpu_plan": True},
    "no prefix cache": {"disable_radix_cache": True},
}


@pytest.fixture(scope="module", params=POOLINGS)
def pooled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, Vectors]:
    """A model, its pooling, and its embeddings when each prompt is alone."""
    folder = tmp_path_factory.mktemp("model")
    make_pooled_checkpoint(folder, "LlamaModel", pooling=POOLINGS[request.param])
    engine = make_engine(folder)
    alone: Vectors = {}
    for name, prompt in prompts().items():
        engine.scheduler.memory.cache.flush()
        alone |= vectors(engine, {name: prompt})
    return folder, request.param, alone


def test_every_pooling_is_that_of_transformers(pooled: tuple[Path, str, Vectors]) -> None:
    folder, kind, alone = pooled
    expected = {name: expected_embedding(folder, ids, kind) for name, ids in prompts().items()}
    assert_close(alone, expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_changes_an_embedding(pooled: tuple[Path, str, Vectors], schedule: str) -> None:
    folder, _, alone = pooled
    found = vectors(make_engine(folder, **SCHEDULES[schedule]), prompts())
    assert found.keys() == alone.keys()
    assert all(np.array_equal(found[name], alone[name]) for name in alone)


def test_a_second_round_says_the_same(pooled: tuple[Path, str, Vectors]) -> None:
    folder, kind, alone = pooled
    engine = make_engine(folder)
    vectors(engine, prompts())
    before = engine.scheduler.stats.cached_tokens
    again = vectors(engine, prompts())
    assert all(np.array_equal(again[name], alone[name]) for name in alone)
    cached = engine.scheduler.stats.cached_tokens - before
    # The mean and the first token need hidden states, which the cache does not keep.
    assert cached == (sum(len(p) - 1 for p in prompts().values()) if kind == "last" else 0)


def test_an_input_may_fill_the_context_but_not_exceed_it(
    pooled: tuple[Path, str, Vectors],
) -> None:
    engine = make_engine(pooled[0])
    (output,) = run(engine, {"long": [5] * 257})
    assert output.finish is not None and output.finish.status == 400
    assert "257 tokens; at most 256 fit" in output.finish.message


def test_an_embedding_that_is_aborted_leaves_nothing_behind(
    pooled: tuple[Path, str, Vectors],
) -> None:
    folder, _, alone = pooled
    engine = make_engine(folder, chunked_prefill_size=16)
    wanted = prompts()
    for rid, prompt in wanted.items():
        engine.scheduler.receive(message(rid, prompt))
    outputs = engine.scheduler.step()
    engine.scheduler.receive(AbortRequest("own 256"))
    while not engine.scheduler.is_idle:
        outputs += engine.scheduler.step()
    engine.scheduler.on_idle()
    ended = {output.rid: output for output in outputs}
    assert ended.pop("own 256").embedding is None
    for name, output in ended.items():
        assert output.embedding == alone[name].tobytes()


def test_a_batch_that_fails_spares_the_others(
    pooled: tuple[Path, str, Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, alone = pooled
    engine = make_engine(folder, chunked_prefill_size=16)
    execute = engine.runner.execute

    def failing(batch: Any) -> Any:
        if any(entry.request.rid == "own 90" for entry in batch):
            execute(batch)  # which must leave no trace
            raise RuntimeError("out of luck")
        return execute(batch)

    monkeypatch.setattr(engine.runner, "execute", failing)
    for output in run(engine, prompts()):
        if output.rid == "own 90":
            assert output.finish is not None and output.finish.status == 500
        else:
            assert output.embedding == alone[output.rid].tobytes()


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", "LlamaForSequenceClassification")
    engine = make_engine(folder)
    engine.runner.model.answer = lambda pooled: pooled * float("nan")  # type: ignore[method-assign]
    (output,) = run(engine, {"a": [1, 2, 3]})
    assert output.finish is not None and output.finish.status == 500
    assert "not finite" in output.finish.message


def test_bfloat16_is_close(tmp_path: Path) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", "LlamaForSequenceClassification")
    args = ServerArgs(model_path=str(folder), dtype="bfloat16", device="cpu")
    found = vectors(build_engine(args, str(folder)), prompts())
    for name, prompt in prompts().items():
        assert np.allclose(found[name], expected_scores(folder, prompt), atol=0.15), name


@pytest.mark.parametrize("quantization", ["w8a8_int8"])
def test_quantized_embeddings_point_the_same_way(tmp_path: Path, quantization: str) -> None:
    folder = make_pooled_checkpoint(tmp_path / "model", "LlamaModel")
    exact = vectors(make_engine(folder), prompts())
    found = vectors(make_engine(folder, quantization=quantization), prompts())
    assert all(exact[name] @ found[name] > 0.98 for name in exact)
