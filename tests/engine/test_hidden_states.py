"""Hidden states are those of transformers, whatever the schedule and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sglang.srt.managers.engine_setup import Engine
from sglang.srt.managers.io_struct import RequestOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from tests.engine.test_equality import make_engine, prompts, run, tokens
from tests.models.model_helpers import make_tiny_checkpoint

PROMPTS = [prompts()[i] for i in (0, 5, 6, 7, 10)]
"""5 prompts of 3 to 70 tokens, some of which share 40."""
TIGHT = {"max_total_tokens": 110, "schedule_conservativeness": 0.01}
SCHEDULES: dict[str, dict[str, Any]] = {
    "batched": {},
    "chunks of 7": {"chunked_prefill_size": 7},
    "retracted": TIGHT,
    "retracted in chunks": {**TIGHT, "chunked_prefill_size": 16, "disable_radix_cache": True},
    "no recorded forward": {"disable_cpu_plan": True},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"), "llama", num_key_value_heads=1)


@pytest.fixture(scope="module")
def oracle(checkpoint: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()


def ask(rid: str, prompt: list[int], max_new_tokens: int = 12, **fields: Any) -> TokenizedRequest:
    params = SamplingParams(max_new_tokens=max_new_tokens, ignore_eos=True, temperature=0.0)
    return TokenizedRequest(rid, np.array(prompt, dtype="<i4").tobytes(), params, **fields)


def run_for_hidden(
    engine: Engine, messages: list[TokenizedRequest]
) -> tuple[dict[str, list[RequestOutput]], dict[str, np.ndarray]]:
    """Outputs and hidden states [n, H] by request."""
    outputs: dict[str, list[RequestOutput]] = {}
    parts: dict[str, list[np.ndarray]] = {}
    for each in messages:
        engine.scheduler.receive(each)
    while not engine.scheduler.is_idle:
        for output in engine.scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
        for rid, states in engine.scheduler.hidden_states.items():
            values = np.frombuffer(states.values, dtype="<f4").reshape(states.count, -1)
            parts.setdefault(rid, []).append(values)
    engine.scheduler.on_idle()
    return outputs, {rid: np.concatenate(values) for rid, values in parts.items()}


def expected(oracle: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        states: torch.Tensor = oracle(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return states[-1][0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_they_are_those_of_transformers(checkpoint: Path, oracle: Any, schedule: str) -> None:
    engine = make_engine(checkpoint, **SCHEDULES[schedule])
    # Every other request wants none.
    messages = [ask(str(i), p, return_hidden_states=i % 2 == 0) for i, p in enumerate(PROMPTS)]
    outputs, hidden = run_for_hidden(engine, messages)
    assert sorted(hidden, key=int) == [str(i) for i in range(0, len(messages), 2)]
    for rid, found in hidden.items():
        # The last token is never computed.
        ids = PROMPTS[int(rid)] + tokens(outputs[rid])[:-1]
        assert found.shape == (len(ids), 48)
        assert torch.allclose(torch.from_numpy(found.copy()), expected(oracle, ids), atol=1e-4)
    if schedule.startswith("retracted"):
        assert engine.scheduler.stats.retractions > 0


def test_a_cached_prefix_is_computed_again(checkpoint: Path, oracle: Any) -> None:
    engine = make_engine(checkpoint, chunked_prefill_size=16)
    prompt = PROMPTS[1]
    run(engine, [ask("first", prompt)])
    outputs, hidden = run_for_hidden(engine, [ask("a", prompt, return_hidden_states=True)])
    assert outputs["a"][0].cached_tokens == 0
    found = torch.from_numpy(hidden["a"][: len(prompt)].copy())
    assert torch.allclose(found, expected(oracle, prompt), atol=1e-4)


def test_what_they_leave_in_the_cache_serves_others(checkpoint: Path) -> None:
    engine = make_engine(checkpoint)
    prompt = PROMPTS[1]
    run_for_hidden(engine, [ask("a", prompt, return_hidden_states=True)])
    outputs = run(engine, [ask("b", prompt)])["b"]
    assert outputs[0].cached_tokens == len(prompt) - 1


def test_they_go_with_logprobs_of_the_prompt(checkpoint: Path, oracle: Any) -> None:
    engine = make_engine(checkpoint)
    prompt = PROMPTS[1]
    fields = {"return_logprob": True, "logprob_start_len": 0}
    alone = run(engine, [ask("a", prompt, **fields)])["a"]
    both, hidden = run_for_hidden(engine, [ask("b", prompt, return_hidden_states=True, **fields)])
    assert both["b"][0].input_logprobs == alone[0].input_logprobs
    found = torch.from_numpy(hidden["b"][: len(prompt)].copy())
    assert torch.allclose(found, expected(oracle, prompt), atol=1e-4)


def test_answers_are_the_same_with_and_without(checkpoint: Path) -> None:
    engine = make_engine(checkpoint)
    plain = run(engine, [ask(str(i), p) for i, p in enumerate(PROMPTS)])
    messages = [ask(str(i), p, return_hidden_states=True) for i, p in enumerate(PROMPTS)]
    outputs, _ = run_for_hidden(make_engine(checkpoint), messages)
    assert {r: tokens(o) for r, o in outputs.items()} == {r: tokens(o) for r, o in plain.items()}


def test_a_request_without_new_tokens_gets_those_of_its_prompt(checkpoint: Path) -> None:
    engine = make_engine(checkpoint)
    each = ask("a", PROMPTS[1], 0, return_hidden_states=True)
    outputs, hidden = run_for_hidden(engine, [each])
    assert tokens(outputs["a"]) == []
    assert hidden["a"].shape == (len(PROMPTS[1]), 48)
