"""Whatever the schedule, an answer is that of the request alone, and that of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from tests.models.model_helpers import make_tiny_checkpoint

NEW_TOKENS = 24
KINDS = ("greedy", "seeded", "penalised")


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return make_tiny_checkpoint(folder, request.param, num_key_value_heads=1)


def prompts() -> list[list[int]]:
    """Twelve prompts of 3 to 90 tokens, some of which share 40."""
    rng = np.random.default_rng(0)
    shared = rng.integers(3, 199, 40).tolist()
    lengths = [3, 17, 90, 33, 5, 64]
    own = [rng.integers(3, 199, n).tolist() for n in lengths]
    return [*own, *(shared + tail[:30] for tail in own)]


def make_engine(folder: Path, **arguments: Any) -> Engine:
    args = ServerArgs(model_path=str(folder), dtype="float32", device="cpu", **arguments)
    return build_engine(args, str(folder))


def message(
    rid: str, prompt: list[int], sampling: dict[str, Any], **fields: Any
) -> TokenizedRequest:
    params = SamplingParams(max_new_tokens=NEW_TOKENS, ignore_eos=True, **sampling)
    return TokenizedRequest(rid, np.array(prompt, dtype="<i4").tobytes(), params, **fields)


def run(engine: Engine, messages: list[TokenizedRequest]) -> dict[str, list[RequestOutput]]:
    outputs: dict[str, list[RequestOutput]] = {}
    for each in messages:
        engine.scheduler.receive(each)
    while not engine.scheduler.is_idle:
        for output in engine.scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
    engine.scheduler.on_idle()
    return outputs


def tokens(outputs: list[RequestOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]


def sampling_of(index: int, kind: str) -> dict[str, Any]:
    if kind == "greedy":
        return {"temperature": 0.0}
    if kind == "seeded":
        return {"temperature": 0.9, "top_p": 0.9, "seed": 100 + index}
    return {"temperature": 0.0, "repetition_penalty": 1.3, "frequency_penalty": 0.4}


def answers(engine: Engine, kind: str, *, alone: bool) -> list[list[int]]:
    messages = [message(str(i), p, sampling_of(i, kind)) for i, p in enumerate(prompts())]
    if not alone:
        outputs = run(engine, messages)
        return [tokens(outputs[m.rid]) for m in messages]
    found = []
    for each in messages:
        engine.scheduler.memory.cache.flush()
        found.append(tokens(run(engine, [each])[each.rid]))
    return found


SCHEDULES: dict[str, dict[str, Any]] = {
    "batched": {},
    "no prefix cache": {"disable_radix_cache": True},
    "chunks of 7": {"chunked_prefill_size": 7},
    "whole prompts": {"chunked_prefill_size": -1},
    "three at a time": {"max_running_requests": 3},
    "retracted": {"max_total_tokens": 230, "schedule_conservativeness": 0.01},
    "fcfs": {"schedule_policy": "fcfs"},
    "reference kernels": {"attention_backend": "torch_native"},
    "no recorded forward": {"disable_cpu_plan": True},
}


@pytest.fixture(scope="module")
def alone(checkpoint: Path) -> dict[str, list[list[int]]]:
    """By kind of sampling, the answers of requests that had the engine to themselves."""
    engine = make_engine(checkpoint)
    return {kind: answers(engine, kind, alone=True) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_schedule_changes_an_answer(
    checkpoint: Path, alone: dict[str, list[list[int]]], schedule: str, kind: str
) -> None:
    engine = make_engine(checkpoint, **SCHEDULES[schedule])
    assert answers(engine, kind, alone=False) == alone[kind]
    if schedule == "retracted":
        assert engine.scheduler.stats.retractions > 0


def test_a_second_round_hits_the_cache_and_says_the_same(checkpoint: Path) -> None:
    engine = make_engine(checkpoint)
    first = answers(engine, "greedy", alone=False)
    before = engine.scheduler.stats.cached_tokens
    assert answers(engine, "greedy", alone=False) == first
    assert engine.scheduler.stats.cached_tokens - before >= sum(len(p) - 1 for p in prompts())


def test_greedy_answers_and_logprobs_are_those_of_transformers(checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM

    oracle = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    engine = make_engine(checkpoint, chunked_prefill_size=16)
    greedy = {"temperature": 0.0}
    messages = [
        message(str(i), p, greedy, return_logprob=True, logprob_start_len=0, top_logprobs_num=3)
        for i, p in enumerate(prompts())
    ]
    outputs = run(engine, messages)
    for index, prompt in enumerate(prompts()):
        mine = outputs[str(index)]
        sequence = torch.tensor([prompt + tokens(mine)])
        with torch.no_grad():
            expected = oracle(sequence).logits[0].log_softmax(-1)
        picked = expected[torch.arange(len(sequence[0]) - 1), sequence[0, 1:]]
        assert tokens(mine) == expected[len(prompt) - 1 : -1].argmax(-1).tolist()
        scores = mine[0].input_logprobs
        assert scores is not None and scores.logprobs[0] is None
        assert scores.token_ids == prompt
        found = [*scores.logprobs[1:], *(o.output_logprobs.logprobs[0] for o in mine)]
        assert torch.allclose(torch.tensor(found), picked, atol=1e-3)
        best = expected[: len(prompt) - 1].topk(3).values
        assert torch.allclose(torch.tensor(scores.top_logprobs[1:]), best, atol=1e-3)


@pytest.mark.parametrize("start", [0, 1, 5, 16, 17, 63])
def test_prompt_logprobs_from_any_start_ignore_what_is_cached(checkpoint: Path, start: int) -> None:
    prompt = prompts()[5]
    whole = make_engine(checkpoint)
    full = run(whole, [message("a", prompt, {}, return_logprob=True, logprob_start_len=0)])["a"][0]
    engine = make_engine(checkpoint, chunked_prefill_size=16)
    run(engine, [message("warm", prompt, {})])
    fields = {"return_logprob": True, "logprob_start_len": start}
    outputs = run(engine, [message("b", prompt, {}, **fields)])["b"]
    scores = outputs[0].input_logprobs
    assert scores is not None and full.input_logprobs is not None
    assert scores.token_ids == prompt[start:]
    first = 1 if start == 0 else 0
    expected = full.input_logprobs.logprobs[start + first :]
    assert np.allclose(scores.logprobs[first:], expected, atol=1e-5)
    assert outputs[0].cached_tokens == max(start - 1, 0)
