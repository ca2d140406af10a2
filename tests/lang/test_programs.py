"""What programs write, generate and keep."""

from __future__ import annotations

import pytest

import sglang as sgl
from sglang.lang.backend.base import Backend
from sglang.lang.conversation import Prompt
from sglang.lang.sampling_params import SamplingParams
from tests.lang.scripted import ScriptedBackend


def test_text_goes_on_with_what_is_generated() -> None:
    @sgl.function
    def program(s, subject):
        s += "About " + subject + ": " + sgl.gen("first") + " and " + sgl.gen("second") + "."

    state = program.run("trees", backend=ScriptedBackend())
    assert state.text() == "About trees: 1 and 2."
    assert (state["first"], state["second"]) == ("1", "2")


def test_each_prompt_is_the_text_so_far() -> None:
    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += "a" + sgl.gen() + "b" + sgl.gen() + "c"

    program.run(backend=backend)
    assert [prompt.text for prompt in backend.prompts] == ["a", "a1b"]


def test_turns_become_messages() -> None:
    @sgl.function
    def program(s):
        s += sgl.system("Be brief.")
        s += s.user("Hi")
        s += sgl.assistant("Well, " + sgl.gen("answer"))

    state = program.run(backend=ScriptedBackend())
    assert state.messages() == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Well, 1"},
    ]
    assert state.text() == "SYSTEM: Be brief.\nUSER: Hi\nASSISTANT: Well, 1\n"


def test_a_turn_may_be_written_in_pieces() -> None:
    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        with s.user():
            s += "What "
            s += "now?"
        s += sgl.assistant_begin()
        s += "Answer: " + sgl.gen()
        s += sgl.assistant_end()

    state = program.run(backend=backend)
    assert [message["content"] for message in state.messages()] == ["What now?", "Answer: 1"]
    assert backend.prompts[0].role == "assistant"
    assert backend.prompts[0].turn == "Answer: "
    assert [message["role"] for message in backend.prompts[0].messages] == ["user"]


def test_within_a_turn_what_ends_it_ends_a_gen() -> None:
    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += "plain" + sgl.gen(stop="x")
        s += sgl.assistant(sgl.gen(stop=["x", "y"]))

    program.run(backend=backend)
    assert [params.stop_strings for params in backend.params] == [["x"], ["x", "y", "\nUSER:"]]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (sgl.user_begin(), sgl.assistant_begin(), "cannot begin within"),
        (sgl.user_begin(), sgl.system_end(), "it is that of user"),
        ("text", sgl.user_end(), "none is open"),
    ],
)
def test_turns_that_do_not_match_fail_the_program(first, second, message: str) -> None:
    @sgl.function
    def program(s):
        s += first
        s += second

    assert message in str(program.run(backend=ScriptedBackend()).error())


def test_control_flow_depends_on_values() -> None:
    @sgl.function
    def program(s):
        s += sgl.gen("tool", choices=["search", "calculator"])
        if s["tool"] == "calculator":
            s += ": " + sgl.gen("expression")

    state = program.run(backend=ScriptedBackend())
    assert state.text() == "calculator: 1"
    assert "expression" in state
    assert "query" not in state


def test_a_program_called_with_a_state_goes_on_from_it() -> None:
    @sgl.function
    def inner(s, subject):
        s += f"[{subject}: " + sgl.gen("inner") + "]"
        return s["inner"]

    @sgl.function
    def outer(s):
        s += "start "
        found = inner(s, subject="x")
        s += " end " + found

    assert outer.run(backend=ScriptedBackend()).text() == "start [x: 1] end 1"


def test_the_result_of_a_body_is_kept() -> None:
    @sgl.function
    def program(s):
        s += sgl.gen("number")
        return int(s["number"]) + 1

    assert program(backend=ScriptedBackend()).ret_value == 2


def test_arguments_can_be_bound() -> None:
    @sgl.function
    def program(s, greeting, name="you"):
        s += f"{greeting} {name}"

    bound = program.bind(greeting="Hello")
    assert bound.run(backend=ScriptedBackend()).text() == "Hello you"
    assert bound.run(name="me", backend=ScriptedBackend()).text() == "Hello me"


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'question'"),
        ((), {"question": 1, "answer": 2}, "unexpected keyword argument 'answer'"),
        ((1, 2), {}, "takes 1 arguments, got 2"),
        ((1,), {"question": 2}, "'question' twice"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args, kwargs, message: str) -> None:
    @sgl.function
    def program(s, question):
        s += question

    with pytest.raises(TypeError, match=message):
        program.run(*args, backend=ScriptedBackend(), **kwargs)


def test_a_program_cannot_take_the_name_of_a_sampling_parameter() -> None:
    with pytest.raises(TypeError, match="'temperature'"):

        @sgl.function
        def program(s, temperature):
            s += temperature


def test_sampling_parameters_of_a_run_hold_where_a_gen_says_nothing() -> None:
    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += sgl.gen(max_tokens=5) + sgl.gen(temperature=0.5, stop="a")

    program.run(backend=backend, temperature=0.1, stop=["b"], top_k=3)
    assert backend.params == [
        SamplingParams(max_new_tokens=5, temperature=0.1, stop=["b"], top_k=3),
        SamplingParams(max_new_tokens=128, temperature=0.5, stop="a", top_k=3),
    ]


def test_several_answers_become_a_list_and_the_first_goes_on() -> None:
    @sgl.function
    def program(s):
        s += "Say: " + sgl.gen("x", n=3) + "!"

    state = program.run(backend=ScriptedBackend())
    assert state["x"] == ["1", "2", "3"]
    assert state.text() == "Say: 1!"


def test_figures_about_a_value_are_kept() -> None:
    @sgl.function
    def program(s):
        s += sgl.gen("x")

    assert program.run(backend=ScriptedBackend()).get_meta_info("x") == {"number": 0}


def test_values_can_be_set() -> None:
    @sgl.function
    def program(s):
        s["a"] = [1, 2]
        s.set_var("b", 3)

    state = program.run(backend=ScriptedBackend())
    assert (state["a"], state.get_var("b"), state.text()) == ([1, 2], 3, "")


def test_a_scope_keeps_what_is_written_in_it() -> None:
    @sgl.function
    def program(s):
        s += "a "
        with s.var_scope("part"):
            s += "b " + sgl.gen()
        s += " c"

    state = program.run(backend=ScriptedBackend())
    assert (state["part"], state.text()) == ("b 1", "a b 1 c")


def test_reasoning_goes_into_a_value_of_its_own() -> None:
    @sgl.function
    def program(s):
        s += sgl.assistant(sgl.separate_reasoning(sgl.gen("answer"), model_type="think"))

    state = program.run(backend=ScriptedBackend(lambda *_: "Hm.</think>Yes."))
    assert (state["answer_reasoning_content"], state["answer"]) == ("Hm.", "Yes.")
    assert state.messages()[0]["content"] == "Yes."


def test_an_image_stands_in_the_text_and_in_the_message() -> None:
    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += sgl.user(sgl.image("cat.png") + "What " + "is it?")
        s += sgl.assistant(sgl.gen())

    program.run(backend=backend)
    [prompt] = backend.prompts
    assert prompt.text == "USER: <image>What is it?\nASSISTANT: "
    assert prompt.messages[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "cat.png"}},
        {"type": "text", "text": "What is it?"},
    ]
    assert [media.source for media in prompt.media] == ["cat.png"]


@pytest.mark.parametrize("value", [5, None, ["text"]])
def test_only_text_and_expressions_can_be_added(value) -> None:
    @sgl.function
    def program(s):
        s += value

    with pytest.raises(TypeError, match=f"not of {type(value).__name__}"):
        program.run(backend=ScriptedBackend())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sgl.gen(choices=["a"], regex="a"), "choices cannot be combined"),
        (lambda: sgl.gen(regex="a", json_schema="{}"), "only one of regex and json_schema"),
        (lambda: sgl.gen(dtype=int, regex="a"), "only one of dtype and regex"),
        (lambda: sgl.gen(dtype=list), "dtype must be one of int, float, bool, str"),
        (lambda: sgl.gen(choices_method=sgl.greedy_token_selection), "needs choices"),
        (lambda: sgl.gen(json_schema=3), "json_schema must be"),
        (lambda: sgl.gen(choices=["a", "b"], temperature=0.5), "temperature must be 0"),
        (lambda: sgl.select("x", []), "a list of one string or more"),
        (lambda: sgl.select("x", "ab"), "a list of one string or more"),
        (lambda: sgl.select("x", ["a", ""]), "not empty"),
        (lambda: sgl.select("x", ["a", "a"]), "must differ"),
        (lambda: sgl.separate_reasoning("text", "qwen3"), "with a gen in it"),
    ],
)
def test_arguments_of_expressions_are_checked(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_schemas_may_be_given_in_three_forms() -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        yes: bool

    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += sgl.gen(json_schema='{"type": "object"}')
        s += sgl.gen(json_schema={"type": "object"})
        s += sgl.gen(json_schema=Answer)

    program.run(backend=backend)
    texts = [params.json_schema for params in backend.params]
    assert texts[0] == texts[1] == '{"type": "object"}'
    assert texts[2] is not None and '"yes"' in texts[2]


def test_typed_gens_are_constrained() -> None:
    import re

    backend = ScriptedBackend()

    @sgl.function
    def program(s):
        s += sgl.gen_int("a") + sgl.gen_string("b") + sgl.gen("c", dtype=float)

    program.run(backend=backend)
    examples = ["-42", '"any text"', "2.50"]
    for params, example in zip(backend.params, examples, strict=True):
        assert re.fullmatch(params.regex, example)
        assert not re.fullmatch(params.regex, example + ",")


def test_without_a_backend_a_program_says_what_to_do() -> None:
    sgl.set_default_backend(None)

    @sgl.function
    def program(s):
        s += "x"

    with pytest.raises(ValueError, match="set_default_backend"):
        program.run()


def test_the_default_backend_is_used() -> None:
    sgl.set_default_backend(ScriptedBackend())
    try:

        @sgl.function
        def program(s):
            s += sgl.gen("x")

        assert program.run()["x"] == "1"
    finally:
        sgl.set_default_backend(None)


def test_what_a_backend_cannot_do_it_refuses() -> None:
    class Small(ScriptedBackend):
        select = Backend.select

    @sgl.function
    def program(s):
        s += sgl.select("x", ["a", "b"])

    assert str(program.run(backend=Small()).error()) == "Small does not support choices"


def test_a_script_sees_the_prompt() -> None:
    def script(prompt: Prompt, params: SamplingParams) -> str:
        return prompt.text.upper()

    @sgl.function
    def program(s):
        s += "abc" + sgl.gen("x")

    assert program.run(backend=ScriptedBackend(script))["x"] == "ABC"
