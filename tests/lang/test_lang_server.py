"""Programs against a real server with the demo model, and against an engine."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest

import sglang as sgl
from sglang.lang.errors import Cancelled

BEGINNING = "The capital of France is Paris. The capital of Italy is Rome. " * 6


@pytest.fixture(scope="module")
def runtime() -> Iterator[sgl.Runtime]:
    with sgl.Runtime() as running:
        yield running


@pytest.fixture(autouse=True)
def default_backend(runtime: sgl.Runtime) -> Iterator[None]:
    sgl.set_default_backend(runtime)
    sgl.flush_cache()
    yield
    sgl.set_default_backend(None)


def computed_tokens() -> int:
    """Prompt tokens that the server has computed so far."""
    return sgl.get_server_info()["internal_states"][0]["prefill_tokens"]


def token_count(text: str) -> int:
    @sgl.function
    def program(s):
        s += text + sgl.gen("x", max_tokens=0)

    return program.run().get_meta_info("x")["prompt_tokens"]


@sgl.function
def multi_turn_question(s, question_1, question_2):
    s += sgl.system("You are a helpful assistant.")
    s += sgl.user(question_1)
    s += sgl.assistant(sgl.gen("answer_1", max_tokens=32))
    s += sgl.user(question_2)
    s += sgl.assistant(sgl.gen("answer_2", max_tokens=32))


def test_a_chat_of_several_turns() -> None:
    state = multi_turn_question.run(
        "What is the capital of France?", "What is the capital of Italy?", temperature=0
    )
    assert "Paris" in state["answer_1"]
    assert "Rome" in state["answer_2"]
    roles = [message["role"] for message in state.messages()]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_the_next_turn_finds_the_conversation_in_the_cache() -> None:
    state = multi_turn_question.run("Hi?", "Who are you?", temperature=0)
    first, second = state.get_meta_info("answer_1"), state.get_meta_info("answer_2")
    assert second["cached_tokens"] >= first["prompt_tokens"] + first["completion_tokens"] - 2


def test_forks_compute_their_common_prefix_once() -> None:
    length = token_count(BEGINNING)
    sgl.flush_cache()
    before = computed_tokens()

    @sgl.function
    def program(s):
        s += BEGINNING
        forks = s.fork(6)
        forks += lambda i: f"The capital of country {i} is" + sgl.gen("x", max_tokens=2)
        return [f.get_meta_info("x")["cached_tokens"] for f in forks]

    answers = program.run(temperature=0).ret_value
    assert min(answers) >= length - 2
    assert computed_tokens() - before < length + 6 * 16


def test_a_batch_computes_its_common_prefix_once() -> None:
    length = token_count(BEGINNING)
    sgl.flush_cache()
    before = computed_tokens()

    @sgl.function
    def program(s, country):
        s += BEGINNING
        s += "The capital of " + country + " is" + sgl.gen("capital", max_tokens=2)

    states = program.run_batch([{"country": c} for c in ("Spain", "Peru", "Egypt")], temperature=0)
    cached = [state.get_meta_info("capital")["cached_tokens"] for state in states]
    assert min(cached) >= length
    assert computed_tokens() - before < length + 3 * 16


def test_a_program_can_be_cached_beforehand() -> None:
    @sgl.function
    def program(s, question):
        s += BEGINNING + question + sgl.gen("x", max_tokens=1)

    program.cache()
    cached = program.run("Now?").get_meta_info("x")["cached_tokens"]
    assert cached >= token_count(BEGINNING) - 2


@pytest.mark.parametrize(
    "method",
    [
        sgl.token_length_normalized,
        sgl.greedy_token_selection,
        sgl.unconditional_likelihood_normalized,
    ],
)
def test_the_right_choice_is_made(method) -> None:
    @sgl.function
    def program(s):
        s += sgl.user("What is the capital of France?")
        s += sgl.assistant(
            "The capital of France is"
            + sgl.gen("answer", choices=[" London", " Paris", " Berlin"], choices_method=method)
        )

    state = program.run()
    assert state["answer"] == " Paris"
    assert state.messages()[-1]["content"] == "The capital of France is Paris"


def test_choices_share_the_prompt() -> None:
    before = computed_tokens()

    @sgl.function
    def program(s):
        s += BEGINNING + "The next word is"
        s += sgl.select("x", [" one", " two", " three", " four", " five"])

    length = program.run().get_meta_info("x")["prompt_tokens"]
    assert computed_tokens() - before < length + 6 * 12


def test_constrained_gens_give_what_was_asked_for() -> None:
    @sgl.function
    def program(s):
        s += "Data: " + sgl.gen("ip", regex=r"(\d{1,3}\.){3}\d{1,3}") + "\n"
        s += sgl.gen_int("number", max_tokens=3) + " " + sgl.gen("flag", dtype=bool) + "\n"
        s += sgl.gen("object", json_schema={"enum": [{"a": 1}, {"a": 2}]})

    state = program.run(temperature=0)
    assert len(state["ip"].split(".")) == 4
    assert int(state["number"]) >= 0 or state["number"].startswith("-")
    assert state["flag"] in ("True", "False")
    assert json.loads(state["object"])["a"] in (1, 2)


def test_a_streamed_text_is_that_of_a_whole_answer() -> None:
    @sgl.function
    def program(s, question):
        s += sgl.user(question) + sgl.assistant(sgl.gen("answer", max_tokens=24))

    question = "What is the capital of Spain?"
    streamed = program.run(question, stream=True, temperature=0)
    pieces = list(streamed.text_iter("answer"))
    assert "".join(pieces) == program.run(question, temperature=0)["answer"]
    assert streamed.get_meta_info("answer")["finish_reason"]["type"] == "stop"


async def test_an_event_loop_can_follow_several_programs() -> None:
    @sgl.function
    def program(s, question):
        s += question + sgl.gen("x", max_tokens=8, ignore_eos=True)

    async def read(question: str) -> str:
        state = program.run(question, stream=True, temperature=0)
        return "".join([piece async for piece in state.text_async_iter("x")])

    questions = ["The capital of France", "The capital of Italy"]
    texts = await asyncio.gather(*map(read, questions))
    assert texts == [
        program.run(question, temperature=0, ignore_eos=True, max_new_tokens=8)["x"]
        for question in questions
    ]


def test_reasoning_is_taken_out_by_the_server() -> None:
    @sgl.function
    def program(s):
        written = sgl.gen("answer", regex=r"<think>Let me see\.</think>Yes\.")
        s += sgl.user("Is it?") + sgl.assistant(sgl.separate_reasoning(written, "deepseek-r1"))

    state = program.run()
    assert state["answer_reasoning_content"].strip() == "Let me see."
    assert state.messages()[-1]["content"].strip() == "Yes."


def test_several_answers_share_a_prompt() -> None:
    @sgl.function
    def program(s):
        s += "Once upon a time" + sgl.gen("x", n=3, max_tokens=4, seed=1)

    state = program.run()
    assert len(state["x"]) == 3
    assert state.text() == "Once upon a time" + state["x"][0]


def test_what_the_server_refuses_names_the_reason() -> None:
    @sgl.function
    def program(s):
        s += "x" + sgl.gen("x", temperature=-1)

    assert "temperature must be" in str(program.run().error())


def test_images_are_left_to_the_server() -> None:
    @sgl.function
    def program(s):
        s += sgl.user(sgl.image(b"picture") + "What is it?") + sgl.assistant(sgl.gen("x"))

    assert "image" in str(program.run().error())


def test_a_big_batch_with_nested_forks_is_as_one_by_one() -> None:
    @sgl.function
    def program(s, number):
        s += f"Number {number}: "
        for f in s.fork(2):
            for g in f.fork(2):
                g += sgl.gen("x", max_tokens=2)
        s += sgl.gen("x", max_tokens=4)

    items = [{"number": number} for number in range(12)]
    together = [state["x"] for state in program.run_batch(items, temperature=0)]
    assert together == [program.run(**item, temperature=0)["x"] for item in items]


def test_the_openai_api_of_the_server_runs_programs(runtime: sgl.Runtime) -> None:
    @sgl.function
    def choose(s):
        s += sgl.user("What is the capital of France?")
        s += sgl.assistant(sgl.select("city", ["Paris", "Rome"]))

    sgl.set_default_backend(sgl.OpenAI("demo", base_url=runtime.base_url + "/v1"))
    state = multi_turn_question.run(
        "What is the capital of France?", "What is the capital of Italy?", temperature=0
    )
    assert "Rome" in state["answer_2"]
    assert choose.run()["city"] in ("Paris", "Rome")


def test_the_anthropic_api_of_the_server_runs_programs(runtime: sgl.Runtime) -> None:
    pytest.importorskip("anthropic")

    @sgl.function
    def choose(s):
        s += sgl.user("What is the capital of France?")
        s += sgl.assistant(sgl.select("city", ["Paris", "Rome"]))

    backend = sgl.Anthropic("demo", base_url=runtime.base_url, api_key="none")
    questions = ("What is the capital of France?", "What is the capital of Italy?")
    state = multi_turn_question.run(*questions, backend=backend, temperature=0)
    assert "Rome" in state["answer_2"]
    streamed = multi_turn_question.run(*questions, backend=backend, temperature=0, stream=True)
    assert "".join(streamed.text_iter("answer_2")) == state["answer_2"]
    assert choose.run(backend=backend)["city"] in ("Paris", "Rome")


def test_the_marks_of_turns_are_those_of_the_server(runtime: sgl.Runtime) -> None:
    assert runtime.chat_template.name == "server"
    assert runtime.chat_template.opening("assistant") == "<|im_start|>assistant\n"


def running_requests() -> int:
    return sgl.get_server_info()["internal_states"][0]["num_running_reqs"]


def wait_until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


@sgl.function
def long_story(s):
    s += "Once upon a time" + sgl.gen("story", max_tokens=3000, ignore_eos=True)


def test_a_reader_that_stops_ends_the_request_on_the_server() -> None:
    state = long_story.run(stream=True)
    for _ in state.text_iter("story"):
        assert running_requests() == 1
        break
    assert wait_until(lambda: running_requests() == 0)
    assert isinstance(state.error(), Cancelled)


async def test_a_cancelled_task_ends_the_requests_of_forks_on_the_server() -> None:
    @sgl.function
    def program(s):
        forks = s.fork(3)
        forks += "Once upon a time" + sgl.gen("story", max_tokens=3000, ignore_eos=True)
        forks.join()

    async def read() -> None:
        async for _ in program.run(stream=True).text_async_iter():
            pass

    reader = asyncio.create_task(read())
    assert await asyncio.to_thread(wait_until, lambda: running_requests() == 3)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await asyncio.to_thread(wait_until, lambda: running_requests() == 0)


def test_an_engine_runs_programs() -> None:
    with sgl.Engine() as engine:
        sgl.set_default_backend(engine)
        state = multi_turn_question.run(
            "What is the capital of France?", "What is the capital of Italy?", temperature=0
        )
        assert "Paris" in state["answer_1"]
        streamed = multi_turn_question.run("Hi?", "Who are you?", stream=True, temperature=0)
        assert "".join(streamed.text_iter("answer_1")) == streamed["answer_1"]
        sgl.flush_cache()
