"""Several gens out of one answer of the model."""

from __future__ import annotations

import pytest

import sglang as sgl
from sglang.lang.backend.base import Generation
from sglang.lang.chat_template import MESSAGES
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams
from tests.lang.scripted import ScriptedBackend

CARD = "Name: Ada\nBirthday: 1815\nJob: writer\nBye."


class Drafting(ScriptedBackend):
    """Writes its texts in turn; they end because of their length if they end in "..."."""

    def __init__(self, *texts: str, is_chat: bool = False) -> None:
        super().__init__()
        self._texts = list(texts)
        self.writes_whole_turns = is_chat
        if is_chat:
            self.chat_template = MESSAGES

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        self.prompts.append(prompt)
        self.params.append(params)
        text = self._texts.pop(0)
        reason = "length" if text.endswith("...") else "stop"
        return [Generation(text.removesuffix("..."), {"finish_reason": {"type": reason}})]


@sgl.function(num_api_spec_tokens=64)
def card(s):
    s += "Name:" + sgl.gen("name", stop="\n") + "\nBirthday:" + sgl.gen("birthday", stop="\n")
    s += "\nJob:" + sgl.gen("job", stop="\n") + "\n"


@sgl.function(num_api_spec_tokens=64)
def chat_card(s):
    s += sgl.user("Make a card.")
    s += sgl.assistant(
        "Name:"
        + sgl.gen("name", stop="\n")
        + "\nBirthday:"
        + sgl.gen("birthday", stop="\n")
        + "\nJob:"
        + sgl.gen("job", stop="\n")
        + "\nWelcome."
    )


def values(state: sgl.lang.program_state.ProgramState) -> list[str]:
    return [state["name"], state["birthday"], state["job"]]


def test_gens_that_follow_the_draft_need_one_request() -> None:
    backend = Drafting(CARD.removeprefix("Name:"))
    state = card.run(backend=backend, temperature=0.5)
    assert values(state) == [" Ada", " 1815", " writer"]
    assert state.text() == "Name: Ada\nBirthday: 1815\nJob: writer\n"
    assert backend.params == [SamplingParams(max_new_tokens=64, temperature=0.5)]


def test_where_the_draft_parts_from_the_program_a_completion_model_is_asked_anew() -> None:
    backend = Drafting(" Ada\nLast name: Lovelace\n...", " 1815\nJob: writer\n...")
    assert values(card.run(backend=backend)) == [" Ada", " 1815", " writer"]
    assert [prompt.text for prompt in backend.prompts] == ["Name:", "Name: Ada\nBirthday:"]


def test_a_draft_that_is_too_short_is_continued() -> None:
    backend = Drafting(" Ada\nBirth...", " 1815\nJob: wri...", " writer\n...")
    assert values(card.run(backend=backend)) == [" Ada", " 1815", " writer"]


def test_gens_with_other_parameters_are_asked_for_themselves() -> None:
    @sgl.function(num_api_spec_tokens=64)
    def program(s):
        s += "A:" + sgl.gen("a", stop="\n") + "\nB:" + sgl.gen("b", stop="\n", temperature=0.9)
        s += "\nC:" + sgl.gen("c", regex="x*") + "D:" + sgl.gen("d", max_tokens=3)

    backend = Drafting(" 1\nB: 2\n", " 3\n", "xxx", "rest")
    state = program.run(backend=backend)
    assert [state[name] for name in "abcd"] == [" 1", " 3", "xxx", "rest"]
    assert [params.max_new_tokens for params in backend.params] == [64, 64, 128, 3]


def test_without_a_stop_a_gen_ends_at_the_text_that_follows() -> None:
    @sgl.function(num_api_spec_tokens=64)
    def program(s):
        s += "(" + sgl.gen("x") + ", " + sgl.gen("y") + ")"

    state = program.run(backend=Drafting("1, 2) and more"))
    assert (state["x"], state["y"], state.text()) == ("1", "2", "(1, 2)")


def test_a_chat_model_writes_the_turn_once() -> None:
    backend = Drafting(CARD, is_chat=True)
    state = chat_card.run(backend=backend)
    assert values(state) == [" Ada", " 1815", " writer"]
    assert state.messages()[-1]["content"] == ("Name: Ada\nBirthday: 1815\nJob: writer\nWelcome.")
    assert [prompt.turn for prompt in backend.prompts] == [""]


def test_a_chat_model_tries_again_until_its_turn_follows_the_program() -> None:
    backend = Drafting("I cannot.", "Name: Bob\nAge: 3", CARD, is_chat=True)
    assert values(chat_card.run(backend=backend)) == [" Ada", " 1815", " writer"]
    assert len(backend.prompts) == 3


def test_a_chat_model_that_never_follows_fails_the_value() -> None:
    error = chat_card.run(backend=Drafting(*["I cannot."] * 3, is_chat=True)).error()
    assert isinstance(error, BackendError)
    assert "'Name:', '\\nBirthday:', '\\nJob:'" in str(error)
    assert "the last one: 'I cannot.'" in str(error)


def test_the_last_gen_of_a_turn_takes_the_rest() -> None:
    @sgl.function(num_api_spec_tokens=64)
    def program(s):
        s += sgl.assistant(
            "Thought: " + sgl.gen("thought", stop="\n") + "\nAnswer: " + sgl.gen("a")
        )
        s += sgl.user("More?") + sgl.assistant(sgl.gen("more"))

    backend = Drafting("Thought: hm\nAnswer: 42, I think", "No.", is_chat=True)
    state = program.run(backend=backend)
    assert (state["thought"], state["a"], state["more"]) == ("hm", "42, I think", "No.")


def test_forks_have_drafts_of_their_own() -> None:
    @sgl.function(num_api_spec_tokens=64)
    def program(s):
        s += "x"
        for f in s.fork(2):
            f += ":" + sgl.gen("a", stop="\n") + "\n" + sgl.gen("b", stop="\n")
            assert (f["a"], f["b"]) == ("1", "2")

    backend = Drafting("1\n2\n", "1\n2\n")
    assert program.run(backend=backend).error() is None
    assert len(backend.prompts) == 2


def test_a_bound_program_goes_on_speculating() -> None:
    assert card.bind().num_api_spec_tokens == 64


def test_a_program_cannot_speculate_with_nothing() -> None:
    with pytest.raises(ValueError, match="num_api_spec_tokens must be above 0, got 0"):
        sgl.function(num_api_spec_tokens=0)
