"""The frontend writes turns as the server's chat templates do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from sglang.lang.chat_template import PLAIN, TEMPLATES, from_marks, template_for, template_named
from sglang.lang.conversation import Conversation
from sglang.srt.tokenizer import builtin_templates
from sglang.srt.tokenizer.chat_marks import chat_marks
from sglang.srt.tokenizer.chat_template import compile_template


@dataclass
class FakeTokenizer:
    """What is asked of a tokenizer."""

    adds_bos: bool = True
    bos_token_id: int = 1
    special_tokens_map: Mapping[str, str] = field(
        default_factory=lambda: {"bos_token": "<s>", "eos_token": "</s>"}
    )

    def encode(self, text: str) -> list[int]:
        return [1] if self.adds_bos else []


CHATS = {
    "one question": [("user", "Hi?")],
    "with a system": [("system", "Be brief."), ("user", "Hi?")],
    "two turns": [
        ("system", "Be brief."),
        ("user", "Hi?"),
        ("assistant", "Hello."),
        ("user", "Bye?"),
    ],
}


def written(name: str, chat: list[tuple[str, str]]) -> str:
    """The prompt for the next answer, as the frontend writes it."""
    talk = Conversation(template_named(name))
    for role, content in chat:
        talk.begin(role)
        talk.add_text(content)
        talk.end(role)
    talk.begin("assistant")
    return talk.text


def rendered(name: str, chat: list[tuple[str, str]]) -> str:
    """The same as the server writes it, but for the mark that tokenizers begin with."""
    source = builtin_templates.find(name).source
    text = compile_template(source).render(
        [{"role": role, "content": content} for role, content in chat],
        add_generation_prompt=True,
        special_tokens={"bos_token": "<s>", "eos_token": "</s>"},
    )
    return text.removeprefix("<s>")


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("name", sorted(set(TEMPLATES) & set(builtin_templates.NAMES)))
def test_turns_are_written_as_the_server_does(name: str, chat: list[tuple[str, str]]) -> None:
    # A given answer stands where a generated one does, which brings its own space.
    assert written(name, chat).replace(" Hello.", "Hello.") == rendered(name, chat).replace(
        " Hello.", "Hello."
    )


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) & set(builtin_templates.NAMES)))
def test_a_server_reads_the_same_marks_off_its_template(name: str) -> None:
    template, mine = builtin_templates.find(name), template_named(name)
    marks = chat_marks(compile_template(template.source), FakeTokenizer(), template.stop)
    told = from_marks(json.loads(json.dumps(marks.to_dict())), mine.image)
    assert {role: mine.roles[role] for role in told.roles} == told.roles
    assert set(template.stop) <= set(told.stop)
    assert (told.default_system, told.joins_system, told.begin) == (
        *(mine.default_system, mine.joins_system),
        "",
    )


def test_a_beginning_that_the_tokenizer_does_not_add_belongs_to_the_marks() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
        "{% if add_generation_prompt %}<assistant><think>{% endif %}"
    )
    marks = chat_marks(compile_template(source), FakeTokenizer(adds_bos=False))
    assert marks.begin == "<s>"
    assert marks.roles["assistant"] == ("<assistant>", "</>")  # the model may think as it likes
    talk = Conversation(from_marks(marks.to_dict(), ""))
    talk.begin("user")
    assert talk.text == "<s><user>"


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ loop.index }}. {{ m.role }}: {{ m.content }}\n{% endfor %}",
        "{{ messages[-1].content }}",
        "{{ messages[0].content.missing.field }}",
    ],
)
def test_a_template_that_does_more_has_no_marks(source: str) -> None:
    assert chat_marks(compile_template(source), FakeTokenizer()) is None


def test_a_template_without_a_system_has_marks_for_the_others() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    marks = chat_marks(compile_template(source), FakeTokenizer())
    assert set(marks.roles) == {"user", "assistant"}


def test_a_template_that_marks_the_last_answer_otherwise_has_marks() -> None:
    source = (
        "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and loop.last %}"
        "<think></think>{% endif %}{{ m.content }}</>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    marks = chat_marks(compile_template(source), FakeTokenizer())
    assert marks.roles["assistant"] == ("<assistant>", "</>")


def test_without_a_template_or_a_tokenizer_there_are_no_marks() -> None:
    assert chat_marks(None, FakeTokenizer()) is None
    assert chat_marks(compile_template("x"), None) is None


def test_most_templates_of_the_server_are_known() -> None:
    assert len(set(TEMPLATES) & set(builtin_templates.NAMES)) >= 9


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/src/sglang/demo_model", "chatml"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2"),
        ("Qwen/Qwen3-0.6B", "chatml"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen"),
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2-vl"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2-vl"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
        ("google/gemma-2-9b-it", "gemma"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi-3"),
        ("lmsys/vicuna-7b-v1.5", "vicuna"),
        ("someone/unheard-of", "plain"),
    ],
)
def test_a_model_is_known_by_its_path(path: str, name: str) -> None:
    assert template_for(path).name == name


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no chat template 'x'; there are .*chatml"):
        template_named("x")


def test_a_role_that_a_format_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="has no role 'tool'; it has system, user, assistant"):
        template_named("gemma").opening("tool")


def test_a_default_system_is_said_unless_the_program_says_one() -> None:
    assert "You are a helpful assistant." in written("qwen", CHATS["one question"])
    assert "You are a helpful assistant." not in written("qwen", CHATS["with a system"])


def test_a_format_without_system_turns_joins_it_to_the_question() -> None:
    text = written("gemma", CHATS["with a system"])
    assert text.startswith("<start_of_turn>user\nBe brief.\n\nHi?<end_of_turn>\n")


def test_the_plain_format_has_every_role() -> None:
    assert set(PLAIN.roles) == {"system", "user", "assistant", "tool"}
