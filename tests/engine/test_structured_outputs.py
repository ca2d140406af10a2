"""Structured outputs with a real model: always valid, and the same in whatever company."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import Any

import jsonschema
import numpy as np
import pytest

from sglang.demo_model import demo_model_path
from sglang.srt.managers.engine_setup import Engine, build_engine
from sglang.srt.managers.io_struct import AbortRequest, RequestOutput, TokenizedRequest
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from sglang.srt.tokenizer.loading import load_tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "city": {"type": "string", "enum": ["Paris", "London", "Tokyo", "Nairobi"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
TAGS = {
    "structures": [{"begin": "<tool_call>\n", "schema": PERSON, "end": "\n</tool_call>"}],
    "triggers": ["<tool_call>"],
    "at_least_one": True,
    "stop_after_first": True,
}
SUM = 'root ::= term ("+" term)*\nterm ::= [0-9] | "(" root ")"'

GRAMMARS: dict[str, dict[str, str]] = {
    "schema": {"json_schema": json.dumps(PERSON)},
    "object": {"json_schema": '{"type": "object"}'},
    "regex": {"regex": r"(Paris|London) is [a-z]{3,9}\."},
    "open regex": {"regex": r"[a-z ]+"},
    "ebnf": {"ebnf": SUM},
    "tags": {"structural_tag": json.dumps({"type": "structural_tag", **TAGS})},
    "none": {},
}
Check = Callable[[str], object]


def is_person(text: str) -> None:
    jsonschema.validate(json.loads(text), PERSON)


def is_object(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def is_sum(text: str) -> None:
    assert set(text) <= set("0123456789+()")
    ast.parse(text, mode="eval")


def is_call(text: str) -> None:
    found = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", text, re.DOTALL)
    assert found is not None
    is_person(found[1])


def matches(pattern: str) -> Check:
    def check(text: str) -> None:
        assert re.fullmatch(pattern, text)

    return check


CHECKS: dict[str, Check] = {
    "schema": is_person,
    "object": is_object,
    "regex": matches(GRAMMARS["regex"]["regex"]),
    "open regex": matches(GRAMMARS["open regex"]["regex"]),
    "ebnf": is_sum,
    "tags": is_call,
    "none": len,
}
SAMPLINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "hot": {"temperature": 1.5, "seed": 3},
    "filtered": {"temperature": 1.0, "top_p": 0.8, "top_k": 20, "seed": 7},
    "penalised": {"temperature": 0.0, "frequency_penalty": 1.0, "repetition_penalty": 1.2},
}

PATH = demo_model_path()
TOKENIZER = load_tokenizer(str(PATH))


def make_engine(**arguments: Any) -> Engine:
    return build_engine(ServerArgs(device="cpu", **arguments), str(PATH))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = make_engine()
    yield engine
    engine.grammars.close()


def message(rid: str, prompt: str, params: dict[str, Any], **fields: Any) -> TokenizedRequest:
    ids = np.array(TOKENIZER.encode(prompt), dtype="<i4").tobytes()
    return TokenizedRequest(rid, ids, SamplingParams(**{"max_new_tokens": 80, **params}), **fields)


def run(engine: Engine, messages: list[TokenizedRequest]) -> dict[str, list[RequestOutput]]:
    outputs: dict[str, list[RequestOutput]] = {}
    scheduler = engine.scheduler
    for each in messages:
        scheduler.receive(each)
    while scheduler.compiling or not scheduler.is_idle:
        if scheduler.is_idle:
            wait(scheduler.compiling.values(), timeout=60, return_when="FIRST_COMPLETED")
        for output in scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
        scheduler.memory.check(scheduler.running)
    scheduler.on_idle()
    return outputs


def ids_of(outputs: list[RequestOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]


def text_of(outputs: list[RequestOutput]) -> str:
    finish = outputs[-1].finish
    ids = ids_of(outputs)
    if finish.matched is not None:
        ids = ids[:-1]
    return TOKENIZER.decode(ids, skip_special_tokens=False)


def mixed(sampling: dict[str, Any], copies: int = 2) -> dict[str, TokenizedRequest]:
    """Requests with all kinds of grammars, among others without any."""
    messages = {}
    for name, grammar in GRAMMARS.items():
        for i in range(copies):
            rid = f"{name}/{i}"
            prompt = f"Write something about the number {i}: "
            messages[rid] = message(rid, prompt, {**sampling, **grammar})
    return messages


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_finished_output_is_valid(engine: Engine, sampling: str) -> None:
    outputs = run(engine, list(mixed(SAMPLINGS[sampling]).values()))
    finished = 0
    for rid, mine in outputs.items():
        name = rid.split("/")[0]
        assert mine[-1].finish.type in ("stop", "length")
        if mine[-1].finish.type == "stop":
            CHECKS[name](text_of(mine))
            finished += name != "none"
    assert finished >= 4


@pytest.mark.parametrize("sampling", ["greedy", "filtered"])
def test_an_answer_in_company_is_that_alone(engine: Engine, sampling: str) -> None:
    messages = mixed(SAMPLINGS[sampling], copies=1)
    together = run(engine, list(messages.values()))
    for rid, each in messages.items():
        engine.scheduler.memory.cache.flush()
        assert ids_of(run(engine, [each])[rid]) == ids_of(together[rid])


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_total_tokens": 110, "schedule_conservativeness": 0.01},
        {"chunked_prefill_size": 5},
        {"disable_radix_cache": True, "disable_cpu_plan": True},
    ],
    ids=["retracted", "chunked", "no cache"],
)
def test_no_schedule_changes_an_answer(engine: Engine, arguments: dict[str, Any]) -> None:
    messages = mixed(SAMPLINGS["greedy"], copies=4)
    expected = run(engine, list(messages.values()))
    other = make_engine(**arguments)
    outputs = run(other, list(messages.values()))
    other.grammars.close()
    if "max_total_tokens" in arguments:
        assert other.scheduler.stats.retractions > 0
    assert {rid: ids_of(o) for rid, o in outputs.items()} == {
        rid: ids_of(o) for rid, o in expected.items()
    }


def test_forced_tokens_save_steps_and_change_no_text(engine: Engine) -> None:
    plain = make_engine(disable_jump_forward=True)
    grammar = {
        "ebnf": 'root ::= "The capital of " country " is a very large city indeed" [.!]\n'
        'country ::= "France" | "Japan"'
    }
    each = message("a", "Where? ", {"temperature": 0.0, **grammar})
    steps, texts = [], []
    for which in (engine, plain):
        before = which.scheduler.stats.steps
        texts.append(text_of(run(which, [each])["a"]))
        steps.append(which.scheduler.stats.steps - before)
    plain.grammars.close()
    assert texts[0] == texts[1]
    assert steps[0] <= 3 < steps[1]


def test_logprobs_are_those_of_the_model_for_every_token(engine: Engine) -> None:
    each = message(
        "a", "Where? ", {"temperature": 0.0, **GRAMMARS["schema"]},
        return_logprob=True, top_logprobs_num=2,
    )  # fmt: skip
    outputs = run(engine, [each])["a"]
    is_person(text_of(outputs))
    scores = [output.output_logprobs for output in outputs]
    assert all(len(score.logprobs) == 1 for score in scores)
    # What the grammar forbids keeps its probability.
    assert any(score.top_ids[0][0] != score.token_ids[0] for score in scores)


def test_a_minimum_length_holds_as_long_as_the_grammar_can_go_on(engine: Engine) -> None:
    params = {"temperature": 0.0, "min_new_tokens": 30}
    longer = message("longer", "a", {**params, **GRAMMARS["open regex"]})
    ended = message("ended", "a", {**params, "regex": "(yes|no)"})
    outputs = run(engine, [longer, ended])
    assert len(ids_of(outputs["longer"])) >= 30
    assert text_of(outputs["ended"]) in ("yes", "no")


def test_the_end_is_ignored_as_long_as_the_grammar_can_go_on(engine: Engine) -> None:
    params = {"temperature": 0.0, "ignore_eos": True, "max_new_tokens": 50}
    longer = message("longer", "a", {**params, **GRAMMARS["open regex"]})
    ended = message("ended", "a", {**params, **GRAMMARS["schema"]})
    outputs = run(engine, [longer, ended])
    assert outputs["longer"][-1].finish.type == "length"
    assert outputs["ended"][-1].finish.type == "stop"
    is_person(text_of(outputs["ended"]))


def test_a_biased_token_stays_forbidden(engine: Engine) -> None:
    (forbidden,) = TOKENIZER.encode("x")
    params = {"temperature": 0.0, "logit_bias": {forbidden: 100.0}, "regex": "[ab]{4}"}
    assert set(text_of(run(engine, [message("a", "b", params)])["a"])) <= set("ab")


def test_a_cut_output_says_so_and_is_the_beginning_of_a_valid_one(engine: Engine) -> None:
    params = {"temperature": 0.0, "max_new_tokens": 4, **GRAMMARS["schema"]}
    outputs = run(engine, [message("a", "b", params)])["a"]
    assert outputs[-1].finish.type == "length" and len(ids_of(outputs)) == 4
    assert text_of(outputs).startswith('{"name": "')


def test_aborting_gives_everything_back(engine: Engine) -> None:
    scheduler = engine.scheduler
    for step in range(4):
        scheduler.receive(message(f"a{step}", "b", {"temperature": 0.0, **GRAMMARS["schema"]}))
        for _ in range(step):
            scheduler.step()
        scheduler.receive(AbortRequest(f"a{step}"))
    assert not run(engine, []).keys() - {f"a{step}" for step in range(4)}
    scheduler.memory.cache.flush()
    assert scheduler.memory.available == scheduler.config.num_slots


def test_a_bad_grammar_does_not_disturb_the_others(engine: Engine) -> None:
    bad = message("bad", "a", {"regex": "(" * 60_000})
    good = message("good", "a", {"temperature": 0.0, **GRAMMARS["schema"]})
    outputs = run(engine, [bad, good])
    assert outputs["bad"][-1].finish.status == 400
    is_person(text_of(outputs["good"]))


@pytest.mark.parametrize("backend", ["xgrammar", "outlines"])
def test_other_backends_give_valid_outputs(backend: str) -> None:
    pytest.importorskip({"outlines": "outlines_core"}.get(backend, backend))
    other = make_engine(grammar_backend=backend)
    outputs = run(other, list(mixed(SAMPLINGS["greedy"], copies=1).values()))
    other.grammars.close()
    for rid, mine in outputs.items():
        if mine[-1].finish.type == "stop":
            CHECKS[rid.split("/")[0]](text_of(mine))
    assert outputs["schema/0"][-1].finish.type == "stop"
