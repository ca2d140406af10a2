"""Many runs of a program at once."""

from __future__ import annotations

import sys
import threading
import traceback

import pytest

import sglang as sgl
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError, ProgramError
from sglang.lang.sampling_params import SamplingParams
from tests.lang.scripted import ScriptedBackend

EXAMPLES = "Q: 1+1\nA: 2\n" * 10


@sgl.function
def question_answer(s, question):
    s += EXAMPLES
    s += "Q: " + question + "\nA:" + sgl.gen("answer")


def echo(prompt: Prompt, params: SamplingParams) -> str:
    return prompt.text.removeprefix(EXAMPLES).split("\n")[0]


def items(count: int) -> list[dict[str, str]]:
    return [{"question": str(number)} for number in range(count)]


def test_answers_come_in_order() -> None:
    states = question_answer.run_batch(items(200), backend=ScriptedBackend(echo))
    assert [state["answer"] for state in states] == [f"Q: {number}" for number in range(200)]


def test_items_run_at_once() -> None:
    together = threading.Barrier(8)

    def script(prompt: Prompt, params: SamplingParams) -> str:
        together.wait(20)
        return "x"

    states = question_answer.run_batch(items(8), backend=ScriptedBackend(script))
    assert [state.error() for state in states] == [None] * 8


def test_num_threads_limits_how_many() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def script(prompt: Prompt, params: SamplingParams) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.005)
        with lock:
            running -= 1
        return "x"

    question_answer.run_batch(items(20), backend=ScriptedBackend(script), num_threads=3)
    assert 1 <= most <= 3


def test_the_common_prefix_is_sent_once_beforehand() -> None:
    backend = ScriptedBackend(echo)
    question_answer.run_batch(items(5), backend=backend)
    assert backend.cached == [EXAMPLES + "Q: "]


def test_arguments_that_all_items_share_belong_to_the_prefix() -> None:
    @sgl.function
    def program(s, examples, question):
        s += f"{examples}\n---\n"
        s += question + sgl.gen("answer")

    backend = ScriptedBackend(echo)
    program.run_batch([{"examples": EXAMPLES, "question": q} for q in "abc"], backend=backend)
    assert backend.cached == [EXAMPLES + "\n---\n"]


def test_a_short_prefix_is_not_worth_a_request() -> None:
    @sgl.function
    def program(s, question):
        s += "Q: " + question + sgl.gen("answer")

    backend = ScriptedBackend(echo)
    program.run_batch(items(3), backend=backend)
    assert backend.cached == []


def test_the_body_is_not_traced_if_it_must_not_be() -> None:
    calls = []

    @sgl.function
    def program(s, question):
        calls.append(question)
        s += EXAMPLES + question + sgl.gen("answer")

    backend = ScriptedBackend(echo)
    program.run_batch(items(3), backend=backend, cache_prefix=False)
    assert (sorted(calls), backend.cached) == (["0", "1", "2"], [])


def test_a_failed_item_does_not_disturb_the_others() -> None:
    def script(prompt: Prompt, params: SamplingParams) -> str:
        if "Q: 3\n" in prompt.text:
            raise BackendError("no answer to 3")
        return "fine"

    states = question_answer.run_batch(items(6), backend=ScriptedBackend(script))
    failed = [index for index, state in enumerate(states) if state.error()]
    assert failed == [3]
    with pytest.raises(ProgramError, match="no answer to 3"):
        states[3]["answer"]


def test_two_hundred_items_with_nested_forks_fail_each_for_itself() -> None:
    def script(prompt: Prompt, params: SamplingParams) -> str:
        if prompt.text.endswith("item 7 fork 1 leaf 0:"):
            raise BackendError("no answer")
        return "x"

    @sgl.function
    def program(s, number):
        s += f"item {number}"
        with s.fork(2) as forks:
            for index, fork in enumerate(forks):
                fork += f" fork {index}"
                with fork.fork(2) as leaves:
                    leaves += lambda i: f" leaf {i}:" + sgl.gen("leaf")
                fork["joined"] = "".join(fork["leaf"])
        if number % 50 == 3:
            raise LookupError(f"item {number} is missing")
        s += " end " + sgl.gen("end")

    states = program.run_batch(
        [{"number": number} for number in range(200)], backend=ScriptedBackend(script)
    )
    failed = {index: state.error() for index, state in enumerate(states) if state.error()}
    assert sorted(failed) == [3, 7, 53, 103, 153]
    assert str(failed[153]) == "item 153 is missing"
    assert "gen leaf: BackendError: no answer" in str(failed[7])
    shown = "".join(traceback.format_exception(failed[7]))
    assert "in program" in shown
    assert 'raise BackendError("no answer")' in shown
    assert [states[8]["joined"], states[8]["end"]] == [["xx", "xx"], "x"]


def test_an_error_of_a_body_is_kept_with_its_traceback() -> None:
    @sgl.function
    def program(s, number):
        s += "text"
        return 1 // number

    good, bad = program.run_batch([{"number": 1}, {"number": 0}], backend=ScriptedBackend())
    assert (good.ret_value, good.text()) == (1, "text")
    assert isinstance(bad.error(), ZeroDivisionError)
    assert "return 1 // number" in "".join(traceback.format_exception(bad.error()))


def test_items_that_do_not_fit_are_refused_before_anything_runs() -> None:
    backend = ScriptedBackend()
    with pytest.raises(TypeError, match="item 1 of the batch does not fit question_answer"):
        question_answer.run_batch([{"question": "a"}, {"query": "b"}], backend=backend)
    assert backend.prompts == []


def test_sampling_parameters_hold_for_all() -> None:
    backend = ScriptedBackend(echo)
    question_answer.run_batch(items(2), backend=backend, temperature=0.3, max_new_tokens=7)
    assert backend.params == [SamplingParams(temperature=0.3, max_new_tokens=7)] * 2


def test_results_can_be_taken_one_by_one() -> None:
    states = question_answer.run_batch(
        items(3), backend=ScriptedBackend(echo), generator_style=True
    )
    assert next(states)["answer"] == "Q: 0"
    assert [state["answer"] for state in states] == ["Q: 1", "Q: 2"]


def test_an_empty_batch_is_done() -> None:
    assert question_answer.run_batch([], backend=ScriptedBackend()) == []


@pytest.mark.parametrize("number", [0, -1, "many"])
def test_a_wrong_number_of_threads_is_refused(number) -> None:
    with pytest.raises(ValueError, match="num_threads"):
        question_answer.run_batch(items(2), backend=ScriptedBackend(), num_threads=number)


def test_a_progress_bar_counts_the_items(capsys: pytest.CaptureFixture[str]) -> None:
    question_answer.run_batch(items(4), backend=ScriptedBackend(echo), progress_bar=True)
    assert "4/4" in capsys.readouterr().err


def test_without_tqdm_a_batch_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.warns(UserWarning, match="tqdm"):
        states = question_answer.run_batch(
            items(2), backend=ScriptedBackend(echo), progress_bar=True
        )
    assert len(states) == 2
