"""The programs of the documentation of SGLang 0.4.3, "Frontend" and "Choices Methods", as printed.

Only the address of the server differs, and the missing bracket of the image example is closed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sglang as sgl
from sglang import (
    OpenAI,
    RuntimeEndpoint,
    assistant,
    function,
    gen,
    set_default_backend,
    system,
    user,
)
from tests.lang.recorded_api import RecordedApi, recorded_api


@pytest.fixture(scope="module")
def runtime() -> Iterator[sgl.Runtime]:
    with sgl.Runtime() as running:
        yield running


@pytest.fixture(autouse=True)
def default_backend(runtime: sgl.Runtime) -> Iterator[None]:
    set_default_backend(RuntimeEndpoint(runtime.base_url))
    yield
    set_default_backend(None)


@pytest.fixture
def openai_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordedApi]:
    message = {"role": "assistant", "content": "Washington, D.C."}
    with recorded_api() as api:
        api.answers = [{"id": "1", "choices": [{"message": message, "finish_reason": "stop"}]}]
        monkeypatch.setenv("OPENAI_BASE_URL", api.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-******")
        yield api


# ---- Quick Start


@function
def multi_turn_question(s, question_1, question_2):
    s += system("You are a helpful assistant.")
    s += user(question_1)
    s += assistant(gen("answer_1", max_tokens=256))
    s += user(question_2)
    s += assistant(gen("answer_2", max_tokens=256))


def test_using_local_models(capsys: pytest.CaptureFixture[str]) -> None:
    state = multi_turn_question.run(
        question_1="What is the capital of the United States?",
        question_2="List two local attractions.",
    )

    for m in state.messages():
        print(m["role"], ":", m["content"])

    print(state["answer_1"])
    printed = capsys.readouterr().out
    assert printed.startswith("system : You are a helpful assistant.\nuser : What is the capital")
    assert printed.rstrip().endswith(state["answer_1"].rstrip())


def test_using_openai_models(openai_api: RecordedApi) -> None:
    set_default_backend(OpenAI("gpt-3.5-turbo"))

    state = multi_turn_question.run(
        question_1="What is the capital of the United States?",
        question_2="List two local attractions.",
    )
    assert state["answer_1"] == "Washington, D.C."
    assert [len(body["messages"]) for body in openai_api.bodies] == [2, 4]
    assert openai_api.headers[0]["authorization"] == "Bearer sk-******"


# ---- Language Feature


@sgl.function
def tool_use(s, question):
    s += "To answer this question: " + question + ". "
    s += "I need to use a " + sgl.gen("tool", choices=["calculator", "search engine"]) + ". "

    if s["tool"] == "calculator":
        s += "The math expression is" + sgl.gen("expression")
    elif s["tool"] == "search engine":
        s += "The key word to search is" + sgl.gen("word")


def test_control_flow() -> None:
    state = tool_use.run("What is 2 + 3?")
    assert state["tool"] in ("calculator", "search engine")
    assert ("expression" in state) == (state["tool"] == "calculator")
    assert ("word" in state) == (state["tool"] == "search engine")


@sgl.function
def tip_suggestion(s):
    s += "Here are two tips for staying healthy: 1. Balanced Diet. 2. Regular Exercise.\n\n"

    forks = s.fork(2)
    for i, f in enumerate(forks):
        f += f"Now, expand tip {i + 1} into a paragraph:\n"
        f += sgl.gen(f"detailed_tip", max_tokens=256, stop="\n\n")

    s += "Tip 1:" + forks[0]["detailed_tip"] + "\n"
    s += "Tip 2:" + forks[1]["detailed_tip"] + "\n"
    s += "In summary" + sgl.gen("summary")


def test_parallelism() -> None:
    state = tip_suggestion.run()
    assert "Tip 1:" in state.text()
    assert state.text().endswith(state["summary"])


@sgl.function
def image_qa(s, image_file, question):
    s += sgl.user(sgl.image(image_file) + question)
    s += sgl.assistant(sgl.gen("answer", max_tokens=256))


def test_multi_modality(openai_api: RecordedApi, tmp_path: Path) -> None:
    picture = tmp_path / "cat.jpg"
    picture.write_bytes(b"\xff\xd8 pixels")
    state = image_qa.run(
        image_file=str(picture), question="What is it?", backend=OpenAI("gpt-4o-mini")
    )
    assert state["answer"] == "Washington, D.C."
    image, question = openai_api.bodies[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert question == {"type": "text", "text": "What is it?"}


IP_ADDRESS = r"((25[0-5]|2[0-4]\d|[01]?\d\d?).){3}(25[0-5]|2[0-4]\d|[01]?\d\d?)"


@sgl.function
def regular_expression_gen(s):
    s += "Q: What is the IP address of the Google DNS servers?\n"
    s += "A: " + sgl.gen(
        "answer",
        temperature=0,
        regex=r"((25[0-5]|2[0-4]\d|[01]?\d\d?).){3}(25[0-5]|2[0-4]\d|[01]?\d\d?)",
    )


def test_constrained_decoding() -> None:
    assert re.fullmatch(IP_ADDRESS, regular_expression_gen.run()["answer"])


character_regex = (
    r"""\{\n"""
    + r"""    "name": "[\w\d\s]{1,16}",\n"""
    + r"""    "house": "(Gryffindor|Slytherin|Ravenclaw|Hufflepuff)",\n"""
    + r"""    "blood status": "(Pure-blood|Half-blood|Muggle-born)",\n"""
    + r"""    "occupation": "(student|teacher|auror|ministry of magic|death eater|order of the phoenix)",\n"""
    + r"""    "wand": \{\n"""
    + r"""        "wood": "[\w\d\s]{1,16}",\n"""
    + r"""        "core": "[\w\d\s]{1,16}",\n"""
    + r"""        "length": [0-9]{1,2}\.[0-9]{0,2}\n"""
    + r"""    \},\n"""
    + r"""    "alive": "(Alive|Deceased)",\n"""
    + r"""    "patronus": "[\w\d\s]{1,16}",\n"""
    + r"""    "bogart": "[\w\d\s]{1,16}"\n"""
    + r"""\}"""
)


@sgl.function
def character_gen(s, name):
    s += (
        name
        + " is a character in Harry Potter. Please fill in the following information about this character.\n"
    )
    s += sgl.gen("json_output", max_tokens=256, regex=character_regex)


def test_json_decoding() -> None:
    text = character_gen.run("Hermione")["json_output"]
    assert re.fullmatch(character_regex, text)


@sgl.function
def text_qa(s, question):
    s += "Q: " + question + "\n"
    s += "A:" + sgl.gen("answer", stop="\n")


def test_batching(capsys: pytest.CaptureFixture[str]) -> None:
    states = text_qa.run_batch(
        [
            {"question": "What is the capital of the United Kingdom?"},
            {"question": "What is the capital of France?"},
            {"question": "What is the capital of Japan?"},
        ],
        progress_bar=True,
    )
    assert all(state["answer"] for state in states)
    assert "3/3" in capsys.readouterr().err


def test_streaming(capsys: pytest.CaptureFixture[str]) -> None:
    state = text_qa.run(question="What is the capital of France?", temperature=0.1, stream=True)

    for out in state.text_iter():
        print(out, end="", flush=True)
    assert capsys.readouterr().out == state.text()


@sgl.function
def chat_example(s):
    s += sgl.system("You are a helpful assistant.")
    # Same as: s += s.system("You are a helpful assistant.")

    with s.user():
        s += "Question: What is the capital of France?"

    s += sgl.assistant_begin()
    s += "Answer: " + sgl.gen(max_tokens=100, stop="\n")
    s += sgl.assistant_end()


def test_roles() -> None:
    messages = chat_example.run().messages()
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[-1]["content"].startswith("Answer: ")


# ---- Choices Methods


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"choices_method": sgl.token_length_normalized},
        {"choices_method": sgl.greedy_token_selection},
        {"choices_method": sgl.unconditional_likelihood_normalized},
    ],
)
def test_choices_methods(options: dict[str, Any]) -> None:
    @sgl.function
    def example(s):
        s += sgl.user("What is the capital of France?")
        s += sgl.assistant(
            sgl.gen(
                "answer",
                choices=["London", "Paris", "Berlin"],
                **options,
            )
        )

    assert example.run()["answer"] in ("London", "Paris", "Berlin")


def test_a_misleading_beginning() -> None:
    @sgl.function
    def us_president_example(s):
        s += sgl.user("Name a US president.")
        s += sgl.assistant(
            sgl.gen(
                "answer",
                choices=["Donald Duck", "Millard Fillmore"],
                choices_method=sgl.greedy_token_selection,
            )
        )

    assert us_president_example.run()["answer"] in ("Donald Duck", "Millard Fillmore")


# ---- Accuracy evaluation


def test_the_customised_gsm8k_program() -> None:
    few_shot_examples = ""

    @sgl.function
    def few_shot_gsm8k(s, question):
        s += sgl.system("Please reason step by step, and put your final answer within \\boxed{}.")
        s += few_shot_examples + question
        s += sgl.gen(
            "answer",
            max_tokens=2048,
            stop=["Question", "Assistant:", "</s>", "<|im_end|>", "<|endoftext|>"],
        )

    states = few_shot_gsm8k.run_batch([{"question": "Question: 2 + 3?\nAnswer:"}], max_new_tokens=8)
    assert [state.error() for state in states] == [None]


def test_states_can_be_kept_as_json() -> None:
    state = multi_turn_question.run("Hi?", "Who are you?", max_new_tokens=4)
    assert json.loads(json.dumps(state.messages())) == state.messages()
