"""Requests with a grammar among others, driven with a toy model and toy grammars."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.managers.io_struct import AbortRequest, ControlRequest, TokenizedRequest
from sglang.srt.managers.request_memory import RequestMemory
from sglang.srt.managers.scheduler import Scheduler, SchedulerConfig
from sglang.srt.model_executor.batch import Batch, BatchResult
from sglang.srt.sampling.sampling_params import SamplingParams
from tests.managers.toy_engine import EOS, VOCAB, ToyRunner, run, tokens_of


class CyclicState:
    """The language of runs of 1 to 4 rounds: ten forced tokens, then an even one.

    Implements ``grammar.GrammarState``; ``10 + i`` is forced at place i.
    """

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.place = 0
        self.error = ""

    @property
    def is_finished(self) -> bool:
        return self.place == 11 * self.rounds

    def tokens(self) -> list[int]:
        inside = self.place % 11
        if inside < 10:
            return [10 + inside] + ([EOS] if inside == 0 and self.place else [])
        return list(range(2, VOCAB, 2))

    def fill_mask(self, row: np.ndarray) -> None:
        row[:] = 0
        for token in self.tokens():
            row.view(np.uint32)[token >> 5] |= np.uint32(1 << (token & 31))

    def allows(self, token: int) -> bool:
        return token in self.tokens()

    def accept(self, token: int) -> bool:
        if not self.allows(token):
            self.error = "not allowed"
            return False
        self.place += 1
        return True

    def forced_tokens(self) -> list[int]:
        inside = self.place % 11
        return [] if inside == 0 and self.place else list(range(10 + inside, 20))

    def rollback(self, count: int) -> None:
        self.place -= count


class Cyclic:
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def start(self) -> CyclicState:
        return CyclicState(self.rounds)


class Source:
    """Implements ``grammar.GrammarSource``; the text of a grammar is the number of rounds."""

    def __init__(self, *, ready: bool = True) -> None:
        self.ready = ready
        self.futures: dict[str, Future] = {}

    def get(self, spec: GrammarSpec) -> Future:
        future = self.futures.setdefault(spec.text, Future())
        if self.ready:
            self.finish(spec.text)
        return future

    def finish(self, text: str) -> None:
        if self.futures[text].done():
            return
        if text.isdigit():
            self.futures[text].set_result(Cyclic(int(text)))
        else:
            self.futures[text].set_exception(GrammarError("is no number"))


class MaskingRunner(ToyRunner):
    """Chooses among the allowed tokens by the hash that the toy model predicts."""

    def execute(self, batch: Batch) -> BatchResult:
        result = super().execute(batch)
        for i, token in result.next_tokens.items():
            grammar = batch[i].request.sampling.grammar
            if grammar is not None:
                tokens = grammar.tokens()
                result.next_tokens[i] = tokens[token % len(tokens)] if tokens else -1
        return result


def make(source: Source | None = None, **config) -> tuple[Any, Any]:
    fields = {
        "num_slots": 512,
        "max_running_requests": 16,
        "max_context": 256,
        "prefill_budget": 64,
        **config,
    }
    settings = SchedulerConfig(eos_token_ids=frozenset({EOS}), **fields)
    memory = RequestMemory(
        num_slots=settings.num_slots,
        max_running=settings.max_running_requests,
        max_context=settings.max_context,
        prefix_cache=settings.prefix_cache,
    )
    runner = MaskingRunner(memory)
    return Scheduler(settings, runner, memory, source or Source()), runner


def request(rid: str, rounds: str | None, max_new_tokens: int = 60, **fields) -> TokenizedRequest:
    sampling = SamplingParams(
        max_new_tokens=max_new_tokens,
        regex=rounds,
        ignore_eos=rounds is None,
        stop_token_ids=fields.pop("stop_token_ids", []),
    )
    ids = np.array([ord(char) % VOCAB for char in rid], dtype="<i4").tobytes()
    return TokenizedRequest(rid, ids, sampling, **fields)


def is_in_language(tokens: list[int], rounds: int) -> bool:
    if tokens and tokens[-1] == EOS:
        tokens = tokens[:-1]
    state = CyclicState(rounds)
    complete = all(state.accept(token) and token != EOS for token in tokens)
    return complete and (state.is_finished or (state.place > 0 and state.place % 11 == 0))


def test_an_output_obeys_its_grammar_and_ends_with_it():
    scheduler, _ = make()
    scheduler.receive(request("a", "3"))
    outputs = run(scheduler)["a"]
    assert is_in_language(tokens_of(outputs), 3)
    assert outputs[-1].finish.type == "stop"


def test_the_end_is_not_sampled_where_nothing_else_may_follow():
    scheduler, _ = make()
    scheduler.receive(request("a", "1"))
    outputs = run(scheduler)["a"]
    assert len(tokens_of(outputs)) == 11 and outputs[-1].finish.matched is None


def test_an_output_that_is_cut_says_so():
    scheduler, _ = make()
    scheduler.receive(request("a", "3", 7))
    outputs = run(scheduler)["a"]
    assert tokens_of(outputs) == list(range(10, 17))
    assert outputs[-1].finish.type == "length"


def test_a_stop_token_among_forced_ones_ends_the_sequence():
    scheduler, _ = make()
    scheduler.receive(request("a", "3", stop_token_ids=[13]))
    outputs = run(scheduler)["a"]
    assert tokens_of(outputs) == [10, 11, 12, 13]
    assert (outputs[-1].finish.type, outputs[-1].finish.matched) == ("stop", 13)


@pytest.mark.parametrize("rounds", ["1", "4"])
def test_forced_tokens_change_nothing_but_the_number_of_steps(rounds):
    outputs, steps = [], []
    for jump in (True, False):
        scheduler, runner = make(jump_forward=jump)
        scheduler.receive(request("a", rounds))
        outputs.append(tokens_of(run(scheduler)["a"]))
        steps.append(len(runner.batches))
    assert outputs[0] == outputs[1]
    assert steps[0] <= steps[1] / 5


def test_forced_tokens_are_computed_together():
    scheduler, runner = make()
    scheduler.receive(request("abc", "1"))
    run(scheduler)
    assert runner.batches == [[("abc", 0, 13)]]  # the prompt and what is forced from the start


def test_with_logprobs_every_token_is_sampled():
    scheduler, runner = make()
    scheduler.receive(request("a", "1", return_logprob=True))
    assert len(tokens_of(run(scheduler)["a"])) == 11
    assert len(runner.batches) == 11


def test_no_new_tokens_wanted_gives_none():
    scheduler, _ = make()
    scheduler.receive(request("a", "2", 0))
    outputs = run(scheduler)["a"]
    assert tokens_of(outputs) == [] and outputs[-1].finish.type == "length"


def test_a_bad_grammar_ends_its_request_alone():
    scheduler, _ = make()
    scheduler.receive(request("a", None, 5))
    scheduler.receive(request("b", "nonsense"))
    outputs = run(scheduler)
    assert (outputs["b"][-1].finish.status, outputs["b"][-1].finish.message) == (
        400,
        "regex: is no number",
    )
    assert len(tokens_of(outputs["a"])) == 5


def test_without_grammars_a_request_for_one_is_refused():
    scheduler, _ = make()
    scheduler = Scheduler(scheduler.config, MaskingRunner(scheduler.memory), scheduler.memory)
    scheduler.receive(request("a", "1"))
    assert run(scheduler)["a"][-1].finish.status == 400


def test_requests_wait_for_their_grammar_and_nobody_waits_for_them():
    source = Source(ready=False)
    scheduler, _ = make(source)
    scheduler.receive(request("slow", "2"))
    scheduler.receive(request("free", None, 5))
    assert set(run(scheduler)) == {"free"}
    assert scheduler.is_idle
    scheduler.on_idle()
    assert scheduler.receive(ControlRequest(1, "get_state")).payload["num_grammar_queue_reqs"] == 1
    source.finish("2")
    assert not scheduler.is_idle
    assert is_in_language(tokens_of(run(scheduler)["slow"]), 2)


def test_a_request_can_be_aborted_while_its_grammar_is_compiled():
    source = Source(ready=False)
    scheduler, _ = make(source)
    scheduler.receive(request("a", "2"))
    scheduler.receive(AbortRequest("a"))
    assert run(scheduler)["a"][-1].finish.type == "abort"
    source.finish("2")
    assert scheduler.is_idle and not scheduler.compiling


def test_a_token_that_the_grammar_forbids_ends_the_request_with_an_error():
    scheduler, runner = make(jump_forward=False)
    scheduler.receive(request("a", "1"))
    runner.execute = lambda batch: BatchResult({i: 1 for i in range(len(batch))})
    finish = run(scheduler)["a"][-1].finish
    assert (finish.type, finish.status, finish.message) == ("abort", 500, "not allowed")


def test_a_grammar_that_gets_stuck_ends_the_request_with_its_reason():
    scheduler, runner = make(jump_forward=False)
    scheduler.receive(request("a", "1"))
    scheduler.step()
    scheduler.running[0].sampling.grammar.error = "too many items"
    runner.execute = lambda batch: BatchResult({i: -1 for i in range(len(batch))})
    finish = run(scheduler)["a"][-1].finish
    assert (finish.type, finish.status, finish.message) == ("abort", 400, "too many items")


REQUESTS = st.lists(
    st.tuples(st.sampled_from([None, "1", "2", "4"]), st.integers(1, 50), st.integers(0, 12)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(
    REQUESTS,
    st.sampled_from([80, 120, 400]),
    st.sampled_from([1, 7, 64]),
    st.booleans(),
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
)
def test_no_schedule_changes_an_answer(
    requests, num_slots, budget, prefix_cache, conservativeness, jump
):
    """Any load, pool and budget, with retractions: every answer is that of the request alone."""
    scheduler, _ = make(
        num_slots=num_slots,
        prefill_budget=budget,
        prefix_cache=prefix_cache,
        conservativeness=conservativeness,
        jump_forward=jump,
    )
    outputs: dict[str, list] = {}
    for step in range(13):
        for i, (rounds, max_new, arrival) in enumerate(requests):
            if arrival == step:
                scheduler.receive(request(f"r{i}", rounds, max_new))
        for output in scheduler.step():
            outputs.setdefault(output.rid, []).append(output)
        scheduler.memory.check(scheduler.running)
    for rid, more in run(scheduler).items():
        outputs.setdefault(rid, []).extend(more)
    for i, (rounds, max_new, _) in enumerate(requests):
        tokens = tokens_of(outputs[f"r{i}"])
        alone, _ = make(jump_forward=False)
        alone.receive(request(f"r{i}", rounds, max_new))
        assert tokens == tokens_of(run(alone)[f"r{i}"])
        if rounds is not None and outputs[f"r{i}"][-1].finish.type == "stop":
            assert is_in_language(tokens, int(rounds))
    scheduler.on_idle()
