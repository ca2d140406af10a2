"""Conversations of the OpenAI form become what each template expects."""

from __future__ import annotations

import copy

import pytest
from template_samples import CALL, LLAMA31_LIKE, MISTRAL_LIKE, QWEN25_LIKE

from sglang.srt.tokenizer.chat_template import ChatTemplate
from sglang.srt.tokenizer.messages import normalize_messages
from sglang.srt.tokenizer.template_traits import TemplateTraits

PARTS_LOOP = """\
{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }};{% endfor %}{% endfor %}"""
PARTS_OR_STRING = """\
{% macro show(body) %}{% if body is string %}{{ body }}{% else %}
{%- for part in body %}{{ part.text }};{% endfor %}{% endif %}{% endmacro %}
{%- for m in messages %}{{ show(m.content) }}{% endfor %}"""
PARTS_FILTER = """\
{% for m in messages %}{% set c = m.content %}{{ c | map(attribute='text') | join }}{% endfor %}"""
PARTS_INDEX = "{{ messages[0]['content'][0]['text'] }}"
STRING_ONLY = """\
{% for m in messages %}{% for line in m.content.split('x') %}{{ line }}{% endfor %}{% endfor %}"""
NONE_TEST = """\
{% for m in messages %}{% if m['content'] is none %}calls{% else %}{{ m['content'] }}{% endif %}
{%- endfor %}"""
DEFINED_TEST = """\
{% for m in messages %}{% if m.content is defined %}{{ m.content }}{% endif %}{% endfor %}"""
KEY_TEST = """\
{% for m in messages %}{% if 'content' in m %}{{ m.content }}{% endif %}{% endfor %}"""
TEXT_ARGUMENTS = """\
{% for m in messages %}{% for t in m.tool_calls %}
{{- 'call ' + t['function']['name'] + '\\n' + t['function']['arguments'] + '\\n' }}
{%- endfor %}{% endfor %}"""
FLEXIBLE_ARGUMENTS = """\
{% for m in messages %}{% for t in m.tool_calls %}{% set a = t.function.arguments %}
{{- a if a is string else a | tojson }}{% endfor %}{% endfor %}"""

TEXT_PARTS = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
JSON_CALL = {**CALL, "function": {"name": "f", "arguments": '{"city": "Paris"}'}}


def traits(source: str) -> TemplateTraits:
    return ChatTemplate(source).traits


def user(content):
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("source", "takes_parts", "takes_strings"),
    [
        (PARTS_LOOP, True, False),
        (PARTS_OR_STRING, True, True),
        (PARTS_FILTER, True, False),
        (PARTS_INDEX, True, False),
        (STRING_ONLY, False, True),
        (QWEN25_LIKE, False, True),
        (LLAMA31_LIKE, False, True),
        (MISTRAL_LIKE, False, True),
    ],
)
def test_what_content_a_template_takes(source, takes_parts, takes_strings):
    found = traits(source)
    assert (found.takes_parts, found.takes_strings) == (takes_parts, takes_strings)


def test_parts_are_joined_for_a_template_of_strings():
    assert normalize_messages(user(TEXT_PARTS), traits(QWEN25_LIKE)) == user("one\ntwo")


def test_parts_stay_for_a_template_of_parts():
    assert normalize_messages(user(TEXT_PARTS), traits(PARTS_LOOP)) == user(TEXT_PARTS)


def test_a_string_becomes_a_part_for_a_template_of_parts_only():
    assert normalize_messages(user("one"), traits(PARTS_LOOP)) == user(TEXT_PARTS[:1])


def test_a_string_stays_for_a_template_of_both():
    assert normalize_messages(user("one"), traits(PARTS_OR_STRING)) == user("one")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (QWEN25_LIKE, {"content": ""}),
        (NONE_TEST, {"content": None}),
        (DEFINED_TEST, {}),
        (KEY_TEST, {}),
    ],
)
@pytest.mark.parametrize("given", [{"content": None}, {}])
def test_missing_content(source, expected, given):
    message = {"role": "assistant", **given}
    assert normalize_messages([message], traits(source)) == [{"role": "assistant", **expected}]


def test_other_nulls_are_dropped():
    message = {"role": "user", "content": "a", "name": None, "tool_calls": None}
    assert normalize_messages([message]) == user("a")


def test_developer_becomes_system():
    message = {"role": "developer", "content": "a"}
    assert normalize_messages([message])[0]["role"] == "system"


def test_developer_stays_for_a_template_that_knows_it():
    known = traits("{% if messages[0].role in ['system', 'developer'] %}x{% endif %}")
    message = {"role": "developer", "content": "a"}
    assert normalize_messages([message], known)[0]["role"] == "developer"


def arguments_of(chat):
    return chat[0]["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize("source", [QWEN25_LIKE, MISTRAL_LIKE, LLAMA31_LIKE, FLEXIBLE_ARGUMENTS])
def test_arguments_become_a_mapping(source):
    chat = [{"role": "assistant", "content": "", "tool_calls": [JSON_CALL]}]
    assert arguments_of(normalize_messages(chat, traits(source))) == {"city": "Paris"}


@pytest.mark.parametrize("arguments", ['{"city": "Paris"}', {"city": "Paris"}])
def test_arguments_stay_text_for_a_template_that_prints_them(arguments):
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    chat = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    normal = normalize_messages(chat, traits(TEXT_ARGUMENTS))
    assert arguments_of(normal) == '{"city": "Paris"}'
    assert ChatTemplate(TEXT_ARGUMENTS).render(normal) == 'call f\n{"city": "Paris"}\n'


@pytest.mark.parametrize(("given", "expected"), [("", {}), (None, {}), ("{broken", "{broken")])
def test_arguments_that_are_no_json_object(given, expected):
    call = {**CALL, "function": {"name": "f", "arguments": given}}
    chat = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    assert arguments_of(normalize_messages(chat)) == expected


def test_the_documented_history_of_a_tool_call():
    chat = [
        {"role": "user", "content": "Weather?"},
        {"role": "user", "content": "", "tool_calls": {"name": "f", "arguments": '{"a": 1}'}},
        {"role": "tool", "content": "85 degrees", "name": "f"},
    ]
    call = {
        "id": "call00000",
        "type": "function",
        "function": {"name": "f", "arguments": {"a": 1}},
    }
    assert normalize_messages(chat) == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "85 degrees", "name": "f", "tool_call_id": "call00000"},
    ]


@pytest.mark.parametrize("source", [QWEN25_LIKE, LLAMA31_LIKE, MISTRAL_LIKE])
def test_the_documented_history_renders(source):
    chat = [
        {"role": "user", "content": "Weather?"},
        {"role": "user", "content": "", "tool_calls": {"name": "f", "arguments": '{"a": 1}'}},
        {"role": "tool", "content": "85 degrees", "name": "f"},
    ]
    template = ChatTemplate(source)
    text = template.render(
        normalize_messages(chat, template.traits),
        special_tokens={"bos_token": "<s>", "eos_token": "</s>"},
    )
    assert '{"a": 1}' in text
    assert "85 degrees" in text


def test_results_find_their_calls_and_get_their_names():
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    chat = [
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "name": "g", "content": "1"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "tool_call_id": "call00002", "content": "3"},
    ]
    results = normalize_messages(chat)[1:]
    assert [r["tool_call_id"] for r in results] == ["call00001", "call00000", "call00002"]
    assert [r["name"] for r in results] == ["g", "f", "f"]


def test_a_result_without_any_call_is_left_alone():
    chat = [{"role": "tool", "name": "f", "content": "1"}]
    assert normalize_messages(chat) == chat


def test_the_input_is_not_changed():
    chat = [{"role": "user", "tool_calls": {"name": "f", "arguments": "{}"}}]
    before = copy.deepcopy(chat)
    normalize_messages(chat)
    assert chat == before


@pytest.mark.parametrize("field", ["reasoning", "thinking"])
def test_reasoning_is_found_under_its_usual_name(field):
    chat = [{"role": "assistant", "content": "4", field: "2+2"}]
    assert normalize_messages(chat)[0]["reasoning_content"] == "2+2"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"content": "a"}, r"messages\[0\]\.role must be a non-empty string"),
        ({"role": "user", "content": 3}, r"messages\[0\]\.content must be a string or a list"),
        ({"role": "user", "content": [3]}, r"messages\[0\]\.content\[0\] must be an object"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            r"messages\[0\]\.content\[0\]: content of type 'image_url' is not implemented yet",
        ),
        (
            {"role": "user", "content": [{"type": "text"}]},
            r"messages\[0\]\.content\[0\]\.text must be a string",
        ),
        (
            {"role": "assistant", "tool_calls": ["f"]},
            r"messages\[0\]\.tool_calls\[0\] must be an object",
        ),
        ({"role": "assistant", "tool_calls": "f"}, r"messages\[0\]\.tool_calls must be a list"),
        (
            {"role": "assistant", "tool_calls": [{"function": {}}]},
            r"messages\[0\]\.tool_calls\[0\]\.function\.name must be a string",
        ),
    ],
)
def test_errors_name_the_field(message, words):
    with pytest.raises(ValueError, match=words):
        normalize_messages([message])


@pytest.mark.parametrize("messages", ["Hi", {"role": "user"}, [["a"]], [3]])
def test_what_is_no_list_of_messages_is_refused(messages):
    with pytest.raises(ValueError, match="messages"):
        normalize_messages(messages)


def test_refusals_are_text_parts():
    content = [{"type": "refusal", "refusal": "No."}]
    assert normalize_messages([{"role": "assistant", "content": content}])[0]["content"] == "No."
