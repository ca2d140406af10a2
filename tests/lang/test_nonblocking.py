"""What runs in parallel, what waits for what, and where errors come up."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

import sglang as sgl
from sglang.lang.backend.base import Generation
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError, Cancelled, ProgramError
from sglang.lang.sampling_params import SamplingParams
from tests.lang.scripted import ScriptedBackend

PATIENCE_S = 20


class Gate:
    """A script that answers only when it is opened."""

    def __init__(self, answer: str = "done") -> None:
        self.answer = answer
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, prompt: Prompt, params: SamplingParams) -> str:
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        return self.answer


def failing(prompt: Prompt, params: SamplingParams) -> str:
    """A script that has an answer only to what does not end in "fail"."""
    if prompt.text.endswith("fail"):
        raise BackendError("no answer")
    return "fine"


def test_a_gen_returns_before_it_is_done() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += sgl.gen("x")
        assert gate.entered.wait(PATIENCE_S)
        s += " and more"
        gate.opened.set()  # only now: had the gen waited, nobody would get here
        return s["x"]

    state = program.run(backend=ScriptedBackend(gate))
    assert (state.ret_value, state.text()) == ("done", "done and more")


def test_forks_run_in_parallel() -> None:
    together = threading.Barrier(3)

    def script(prompt: Prompt, params: SamplingParams) -> str:
        together.wait(PATIENCE_S)  # passes only if three are here at once
        return prompt.text[-1]

    @sgl.function
    def program(s):
        forks = s.fork(3)
        for i, f in enumerate(forks):
            f += str(i) + sgl.gen("x")
        s += ", ".join(f["x"] for f in forks)

    assert program.run(backend=ScriptedBackend(script)).text() == "0, 1, 2"


def test_a_fork_returns_while_its_parent_still_generates() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += "a " + sgl.gen("x")
        f = s.copy()
        f += " b"
        s += " c"
        gate.opened.set()
        return f.text()

    state = program.run(backend=ScriptedBackend(gate))
    assert (state.ret_value, state.text()) == ("a done b", "a done c")


def test_a_fork_sees_the_values_of_its_parent() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += sgl.gen("x")
        [f] = s.fork(1)
        gate.opened.set()
        f["y"] = f["x"] + "!"
        return f["y"], "y" in s

    assert program.run(backend=ScriptedBackend(gate)).ret_value == ("done!", False)


def test_forks_may_fork() -> None:
    @sgl.function
    def program(s):
        s += "r"
        leaves = []
        for i, f in enumerate(s.fork(2)):
            f += str(i)
            for j, g in enumerate(f.fork(2)):
                g += str(j) + sgl.gen("leaf")
                leaves.append(g)
        return sorted(leaf.text()[:3] for leaf in leaves)

    state = program.run(backend=ScriptedBackend(lambda *_: "x"))
    assert state.ret_value == ["r00", "r01", "r10", "r11"]


def test_joining_gathers_the_values_of_forks() -> None:
    @sgl.function
    def program(s):
        s["old"] = 0
        with s.fork(3) as forks:
            forks += lambda i: f"{i}: " + sgl.gen("x")
        s += ", ".join(s["x"])

    state = program.run(backend=ScriptedBackend(lambda prompt, _: prompt.text))
    assert state.text() == "0: , 1: , 2: "
    assert state["old"] == 0


def test_joining_can_append_the_texts_of_forks() -> None:
    @sgl.function
    def program(s):
        s += "a"
        forks = s.fork(2)
        forks += ["b", "c" + sgl.gen()]
        forks.join("concate_and_append")
        s += "d"

    assert program.run(backend=ScriptedBackend()).text() == "abc1d"


def test_what_forks_begin_with_is_sent_once_beforehand() -> None:
    backend = ScriptedBackend()
    text = "A long beginning. " * 10

    @sgl.function
    def program(s):
        s += text
        forks = s.fork(4)
        forks += sgl.gen("x")
        forks.join()
        again = s.fork(2)  # nothing new since then
        again += sgl.gen("y")

    program.run(backend=backend)
    assert backend.cached == [text]


def test_a_failed_gen_fails_where_its_value_is_used() -> None:
    @sgl.function
    def program(s):
        s += sgl.gen("before") + "fail"
        s += sgl.gen("x")
        s += sgl.gen("after")

    state = program.run(backend=ScriptedBackend(failing))
    assert state["before"] == "fine"
    for use in (
        lambda: state["x"],
        lambda: state.get_meta_info("after"),
        state.text,
        state.messages,
    ):
        with pytest.raises(ProgramError, match="gen x: BackendError: no answer") as raised:
            use()
        assert isinstance(raised.value.__cause__, BackendError)
    assert isinstance(state.error(), BackendError)


def test_an_error_names_the_line_of_the_program() -> None:
    @sgl.function
    def program(s):
        s += "fail" + sgl.gen("x")

    state = program.run(backend=ScriptedBackend(failing))
    line = inspect.unwrap(program).__code__.co_firstlineno + 2
    with pytest.raises(ProgramError, match=rf"test_nonblocking\.py:{line} in program, gen x"):
        state["x"]


def test_a_failed_fork_does_not_fail_the_others() -> None:
    @sgl.function
    def program(s):
        good, bad = s.fork(2)
        good += "text" + sgl.gen("x")
        bad += "fail" + sgl.gen("x")
        return good["x"], type(bad.error())

    state = program.run(backend=ScriptedBackend(failing))
    assert state.ret_value == ("fine", BackendError)
    assert state.error() is None


def test_forks_of_a_failed_state_fail_like_it() -> None:
    @sgl.function
    def program(s):
        s += "fail" + sgl.gen("x")
        f = s.copy()
        f += "text" + sgl.gen("y")
        with pytest.raises(ProgramError, match="gen x: BackendError: no answer"):
            f["y"]

    program.run(backend=ScriptedBackend(failing))


def test_an_error_of_the_body_comes_out_of_run() -> None:
    @sgl.function
    def program(s):
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        program.run(backend=ScriptedBackend())


def test_a_value_that_was_never_made_is_unknown() -> None:
    @sgl.function
    def program(s):
        s += sgl.gen("x")

    with pytest.raises(KeyError, match="no variable 'y' so far; it has 'x'"):
        program.run(backend=ScriptedBackend())["y"]


# ---- streaming


def words(count: int) -> ScriptedBackend:
    return ScriptedBackend(lambda *_: " ".join("word" for _ in range(count)))


@sgl.function
def two_answers(s):
    s += "A:" + sgl.gen("first") + " B:"
    s += sgl.gen("second") + "."


def test_a_stream_brings_the_whole_text_in_pieces() -> None:
    state = two_answers.run(backend=words(2), stream=True)
    assert "".join(state.text_iter()) == "A:word word B:word word."
    assert state.text() == "A:word word B:word word."


def test_a_single_value_can_be_followed() -> None:
    state = two_answers.run(backend=words(3), stream=True)
    assert list(state.text_iter("second")) == ["word", " word", " word"]
    assert list(state.text_iter("first")) == ["word", " word", " word"]


def test_a_stream_gives_pieces_before_the_end() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += "first" + sgl.gen()

    state = program.run(backend=ScriptedBackend(gate), stream=True)
    pieces = state.text_iter()
    assert next(pieces) == "first"
    gate.opened.set()
    assert list(pieces) == ["done"]


def test_a_program_that_is_not_streamed_can_be_iterated() -> None:
    state = two_answers.run(backend=words(2))
    assert list(state.text_iter()) == ["A:word word B:word word."]
    assert list(state.text_iter("first")) == ["word word"]


async def test_event_loops_can_follow_too() -> None:
    state = two_answers.run(backend=words(2), stream=True)
    assert "".join([piece async for piece in state.text_async_iter()]) == state.text()
    pairs = [pair async for pair in state.text_async_iter("second", return_meta_data=True)]
    assert [piece for piece, _ in pairs] == ["word", " word"]
    assert pairs[-1][1] == {"completion_tokens": 2}


def test_an_error_ends_a_stream_after_what_there_was() -> None:
    @sgl.function
    def program(s):
        s += "text "
        s += "fail" + sgl.gen("x")

    state = program.run(backend=ScriptedBackend(failing), stream=True)
    seen = []
    with pytest.raises(ProgramError, match="no answer"):
        for piece in state.text_iter():
            seen.append(piece)
    assert "".join(seen) == "text fail"
    with pytest.raises(ProgramError, match="no answer"):
        list(state.text_iter("x"))


def test_an_error_of_a_streamed_body_has_its_traceback() -> None:
    @sgl.function
    def program(s):
        s += "text"
        raise LookupError("nothing there")

    state = program.run(backend=ScriptedBackend(), stream=True)
    with pytest.raises(ProgramError, match="program: LookupError: nothing there") as raised:
        list(state.text_iter())
    shown = "".join(traceback.format_exception(raised.value))
    assert 'raise LookupError("nothing there")' in shown


def test_from_outside_a_value_is_waited_for_until_the_body_has_made_it() -> None:
    wanted = threading.Event()

    @sgl.function
    def program(s):
        assert wanted.wait(PATIENCE_S)
        s += sgl.gen("late")

    state = program.run(backend=words(1), stream=True)
    threading.Timer(0.02, wanted.set).start()
    assert state["late"] == "word"
    with pytest.raises(KeyError, match="no variable 'never'"):
        state["never"]


# ---- cancelling


class Endless(ScriptedBackend):
    """Streams words until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.ended = threading.Event()

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        self.began.set()
        try:
            while True:
                yield Generation("word ")
                time.sleep(0.001)
        finally:
            self.ended.set()


@sgl.function
def endless(s):
    s += "text " + sgl.gen("first")
    s += sgl.gen("second")


@pytest.mark.parametrize("value", [None, "first"])
def test_a_reader_that_stops_early_cancels_the_program(value: str | None) -> None:
    backend = Endless()
    state = endless.run(backend=backend, stream=True)
    for _ in state.text_iter(value):
        assert backend.began.wait(PATIENCE_S)
        break
    assert backend.ended.wait(PATIENCE_S)
    assert isinstance(state.error(), Cancelled)
    for name in ("first", "second"):
        with pytest.raises(ProgramError, match="stopped by its reader: Cancelled"):
            state[name]


@pytest.mark.parametrize("value", [None, "first"])
async def test_a_cancelled_task_that_reads_cancels_the_program(value: str | None) -> None:
    backend = Endless()
    state = endless.run(backend=backend, stream=True)
    began = asyncio.Event()

    async def read() -> None:
        async for _ in state.text_async_iter(value):
            await asyncio.to_thread(backend.began.wait, PATIENCE_S)
            began.set()

    reader = asyncio.create_task(read())
    await asyncio.wait_for(began.wait(), PATIENCE_S)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(backend.ended.wait, PATIENCE_S)


def test_a_program_that_others_read_goes_on() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += "text " + sgl.gen("x")

    state = program.run(backend=ScriptedBackend(gate), stream=True)
    other = state.text_iter()
    assert next(other) == "text "
    for _ in state.text_iter():
        break
    gate.opened.set()
    assert "".join(other) == "done"


def test_a_reader_that_got_everything_cancels_nothing() -> None:
    gate = Gate()

    @sgl.function
    def program(s):
        s += sgl.gen("first")
        assert gate.opened.wait(PATIENCE_S)
        s += sgl.gen("second")

    state = program.run(backend=words(2), stream=True)
    assert list(state.text_iter("first")) == ["word", " word"]
    gate.opened.set()
    assert state["second"] == "word word"


def test_a_body_may_stop_reading_its_own_text() -> None:
    @sgl.function
    def program(s):
        s += "A:" + sgl.gen("first")
        for _ in s.text_iter("first"):
            break
        s += " B:" + sgl.gen("second")

    state = program.run(backend=words(3), stream=True)
    assert state["second"] == "word word word"


def test_forks_are_cancelled_with_their_program() -> None:
    backend = Endless()

    @sgl.function
    def program(s):
        forks = s.fork(2)
        forks += sgl.gen("x")
        forks.join()

    state = program.run(backend=backend, stream=True)
    assert backend.began.wait(PATIENCE_S)
    state.cancel()
    assert isinstance(state.error(), ProgramError | Cancelled)
    assert backend.ended.wait(PATIENCE_S)


def test_a_fork_can_be_cancelled_by_itself() -> None:
    gate = Gate()

    def script(prompt: Prompt, params: SamplingParams) -> str:
        return gate(prompt, params) if prompt.text.endswith("slow") else "quick"

    @sgl.function
    def program(s):
        slow, quick = s.fork(2)
        slow += "slow" + sgl.gen("x") + sgl.gen("y")
        quick += sgl.gen("x")
        assert gate.entered.wait(PATIENCE_S)
        slow.cancel()
        with pytest.raises(ProgramError, match="in program: Cancelled"):
            slow["x"]
        gate.opened.set()
        return quick["x"], type(slow.error())

    assert program.run(backend=ScriptedBackend(script)).ret_value == ("quick", Cancelled)


def test_a_program_that_is_done_stays_as_it_is() -> None:
    state = two_answers.run(backend=words(1))
    state.cancel()
    assert state.text() == "A:word B:word."


def test_the_threads_of_a_program_end_with_it() -> None:
    before = threading.active_count()
    for _ in range(10):
        two_answers.run(backend=words(1)).text()
    names = [thread.name for thread in threading.enumerate()]
    for thread in threading.enumerate():
        if thread.name.startswith("sglang-"):
            thread.join(PATIENCE_S)
    assert threading.active_count() <= before, names
