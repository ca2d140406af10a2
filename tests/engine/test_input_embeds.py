"""Prompts that come as vectors: the answers are those of the tokens that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import make_tiny_checkpoint

NEW_TOKENS = 12
PROMPTS = [[5, 7, 11], list(range(20, 60)), [9] * 25]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def table(checkpoint: Path) -> NDArray[np.float32]:
    """The embedding table of the checkpoint."""
    from safetensors.torch import load_file

    weights = load_file(checkpoint / "model.safetensors")
    return weights["model.embed_tokens.weight"].to(torch.float32).numpy()


def make_engine(folder: Path, **options: Any) -> Engine:
    args = ServerArgs(model_path=str(folder), dtype="float32", device="cpu", **options)
    return build_engine(args, str(folder))


def message(
    rid: str, ids: list[int], table: NDArray[np.float32] | None = None, **sampling: Any
) -> TokenizedRequest:
    """The request with token ids, or with what ``table`` has for them."""
    chosen = {"max_new_tokens": NEW_TOKENS, "ignore_eos": True, "temperature": 0.0, **sampling}
    params = SamplingParams(**chosen)
    raw = np.array(ids, dtype="<i4").tobytes()
    if table is None:
        return TokenizedRequest(rid, raw, params)
    embeds = table[ids]
    return TokenizedRequest(
        rid,
        bytes(len(raw)),
        params,
        input_embeds=embeds.tobytes(),
        cache_namespace=f"embeds:{hash(embeds.tobytes())}",
    )


def run(engine: Engine, messages: list[TokenizedRequest]) -> dict[str, list[int]]:
    for each in messages:
        engine.scheduler.receive(each)
    tokens: dict[str, list[int]] = {}
    while not engine.scheduler.is_idle:
        for output in engine.scheduler.step():
            tokens.setdefault(output.rid, []).extend(output.token_ids)
    engine.scheduler.on_idle()
    return tokens


SCHEDULES: dict[str, dict[str, Any]] = {
    "default": {},
    "chunks of 7": {"chunked_prefill_size": 7},
    "no prefix cache": {"disable_radix_cache": True},
    "reference kernels": {"attention_backend": "torch_native"},
    "retracted": {"max_total_tokens": 90, "schedule_conservativeness": 0.01},
    "8-bit weights": {"quantization": "w8a8_int8"},
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_vectors_of_tokens_answer_as_the_tokens(
    checkpoint: Path, table: NDArray[np.float32], schedule: str
) -> None:
    plain = [message(str(i), ids) for i, ids in enumerate(PROMPTS)]
    vectors = [message(f"v{i}", ids, table) for i, ids in enumerate(PROMPTS)]
    engine = make_engine(checkpoint, **SCHEDULES[schedule])
    answers = run(engine, [*plain, *vectors])
    for i in range(len(PROMPTS)):
        assert answers[f"v{i}"] == answers[str(i)]


def test_other_vectors_answer_otherwise(checkpoint: Path, table: NDArray[np.float32]) -> None:
    engine = make_engine(checkpoint)
    answers = run(engine, [message("a", PROMPTS[1], table), message("b", PROMPTS[1], table[::-1])])
    assert answers["a"] != answers["b"]


def test_the_same_vectors_are_found_in_the_cache(
    checkpoint: Path, table: NDArray[np.float32]
) -> None:
    engine = make_engine(checkpoint)
    first = run(engine, [message("a", PROMPTS[1], table)])
    again = run(engine, [message("b", PROMPTS[1], table)])
    assert again["b"] == first["a"]
    assert engine.scheduler.stats.cached_tokens == len(PROMPTS[1]) - 1


def test_stand_ins_are_not_penalised(checkpoint: Path, table: NDArray[np.float32]) -> None:
    """Repetition penalties look at what was said, and vectors say no tokens."""
    engine = make_engine(checkpoint)
    penalty = {"repetition_penalty": 2.0, "logit_bias": {0: 100.0}, "max_new_tokens": 1}
    answers = run(engine, [message("a", PROMPTS[0], table, **penalty)])
    assert answers["a"] == [0]


def test_a_model_that_reads_none_refuses_them(
    checkpoint: Path, table: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sglang.srt.models.decoder import Decoder

    monkeypatch.setattr(Decoder, "supports_input_embeds", False)
    engine = make_engine(checkpoint)
    engine.scheduler.receive(message("a", PROMPTS[0], table))
    (output,) = engine.scheduler.step()
    assert isinstance(output, RequestOutput)
    assert output.finish is not None
    assert (output.finish.status, "input_embeds" in output.finish.message) == (400, True)
