"""Rendering conversations: equal to transformers, errors that say what is wrong."""

from __future__ import annotations

import pytest
from template_samples import CALL, CONVERSATIONS, DIALECT, QWEN25_LIKE, TEMPLATES, WEATHER

import sglang.demo_model
from sglang.srt.tokenizer.chat_template import ChatTemplate, ChatTemplateError
from sglang.srt.tokenizer.loading import load_tokenizer

PAIRS = [
    (template, conversation)
    for template in TEMPLATES
    for conversation in CONVERSATIONS
    if (template, conversation) != ("dialect", "tools")
]
USER = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(("template", "conversation"), PAIRS)
@pytest.mark.parametrize("tools", [None, [WEATHER], [WEATHER, WEATHER]])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_equals_transformers(template, conversation, tools, add_generation_prompt, ours, theirs):
    arguments = {
        "conversation": CONVERSATIONS[conversation],
        "tools": tools,
        "add_generation_prompt": add_generation_prompt,
        "chat_template": TEMPLATES[template],
    }
    mine, other = ours["byte_level_bos"], theirs("byte_level_bos")
    text = mine.apply_chat_template(**arguments, tokenize=False)
    assert text == other.apply_chat_template(**arguments, tokenize=False)
    ids = mine.apply_chat_template(**arguments)
    assert ids == other.apply_chat_template(**arguments, return_dict=False)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("style", ["llama3", "qwen25", "mistral"])
def test_demo_model_equals_transformers(conversation, style):
    transformers = pytest.importorskip("transformers")
    folder = str(sglang.demo_model.__path__[0])
    mine = load_tokenizer(folder)
    if mine.chat_template is None:
        pytest.skip("the demo model is not there")
    other = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    arguments = {
        "conversation": CONVERSATIONS[conversation],
        "tools": [WEATHER],
        "tool_call_parser": style,
        "add_generation_prompt": True,
        "tokenize": False,
    }
    assert mine.apply_chat_template(**arguments) == other.apply_chat_template(**arguments)


def test_several_conversations_at_once(ours, theirs):
    chats = [CONVERSATIONS["one turn"], CONVERSATIONS["turns"]]
    options = {"chat_template": QWEN25_LIKE, "add_generation_prompt": True}
    expected = theirs("byte_level").apply_chat_template(chats, return_dict=False, **options)
    assert ours["byte_level"].apply_chat_template(chats, **options) == expected


def test_return_dict(ours):
    encoding = ours["byte_level"].apply_chat_template(
        USER, chat_template=QWEN25_LIKE, return_dict=True
    )
    assert len(encoding["attention_mask"]) == len(encoding["input_ids"]) > 0


@pytest.mark.parametrize("content", ["The answer", "The answer ", "  The answer\n", "x"])
@pytest.mark.parametrize("template", ["llama31", "qwen25"])
def test_continue_final_message_equals_transformers(content, template, ours, theirs):
    chat = [*USER, {"role": "assistant", "content": content}]
    options = {
        "chat_template": TEMPLATES[template],
        "continue_final_message": True,
        "tokenize": False,
    }
    text = ours["byte_level_bos"].apply_chat_template(chat, **options)
    assert text == theirs("byte_level_bos").apply_chat_template(chat, **options)
    assert text.endswith(content.strip() if template == "llama31" else content)


def test_continue_final_message_leaves_the_messages_alone(ours):
    chat = [*USER, {"role": "assistant", "content": "So"}]
    ours["byte_level"].apply_chat_template(
        chat, chat_template=QWEN25_LIKE, continue_final_message=True
    )
    assert chat[-1] == {"role": "assistant", "content": "So"}


def test_continue_final_message_needs_text():
    chat = [*USER, {"role": "assistant", "tool_calls": [CALL]}]
    with pytest.raises(ChatTemplateError, match="no text to continue"):
        ChatTemplate(QWEN25_LIKE).render(chat, continue_final_message=True)


def test_continue_final_message_needs_a_template_that_shows_it():
    template = ChatTemplate("{{ messages[0].content }}")
    chat = [*USER, {"role": "assistant", "content": "So"}]
    with pytest.raises(ChatTemplateError, match="does not show the last message"):
        template.render(chat, continue_final_message=True)


def test_continue_final_message_excludes_a_generation_prompt():
    with pytest.raises(ChatTemplateError, match="exclude each other"):
        ChatTemplate(QWEN25_LIKE).render(
            USER, continue_final_message=True, add_generation_prompt=True
        )


def test_further_variables_reach_the_template():
    template = ChatTemplate("{{ enable_thinking }} {{ bos_token }}")
    text = template.render(
        USER,
        special_tokens={"bos_token": "<s>"},
        variables={"enable_thinking": False, "bos_token": "<t>"},
    )
    assert text == "False <t>"


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt", "raise_exception"])
def test_reserved_variables_are_refused(name):
    with pytest.raises(ChatTemplateError, match=f"cannot be named {name}"):
        ChatTemplate(QWEN25_LIKE).render(USER, variables={name: 1})


def test_arguments_of_transformers_that_are_not_there_are_refused(ours):
    with pytest.raises(ChatTemplateError, match="return_tensors"):
        ours["byte_level"].apply_chat_template(USER, chat_template=QWEN25_LIKE, return_tensors="pt")


def test_documents_reach_the_template():
    template = ChatTemplate("{% for d in documents %}{{ d.title }}{% endfor %}")
    assert template.render(USER, documents=[{"title": "A"}, {"title": "B"}]) == "AB"


def test_strftime_now():
    text = ChatTemplate("{{ strftime_now('%Y') }}").render(USER)
    assert len(text) == 4
    assert text.isdigit()


def test_the_templates_own_refusal_is_the_error():
    template = ChatTemplate("{{ raise_exception('Roles must alternate') }}")
    with pytest.raises(ValueError, match=r"^Roles must alternate$"):
        template.render(USER)


def test_a_broken_template_names_the_line():
    with pytest.raises(ChatTemplateError, match=r"chat template, line 2: .*endfor"):
        ChatTemplate("{% for m in messages %}\n{% endfo %}")


def test_a_failing_template_says_how():
    template = ChatTemplate("{{ messages[0].content + 1 }}")
    with pytest.raises(ChatTemplateError, match="failed: TypeError"):
        template.render(USER)


def test_no_messages_are_refused():
    with pytest.raises(ChatTemplateError, match="messages is empty"):
        ChatTemplate(QWEN25_LIKE).render([])


def test_values_that_are_no_json_data_are_refused():
    with pytest.raises(ValueError, match=r"messages\[0\] holds a value of type object"):
        ChatTemplate(QWEN25_LIKE).render([{"role": "user", "content": object()}])


def test_a_model_without_a_template_says_what_to_do(ours):
    with pytest.raises(ValueError, match="--chat-template"):
        ours["byte_level"].apply_chat_template(USER)


def test_one_template_serves_many_threads():
    from concurrent.futures import ThreadPoolExecutor

    template = ChatTemplate(DIALECT)
    chats = [[{"role": "user", "content": f"message {i}"}] for i in range(40)]
    expected = [template.render(chat) for chat in chats]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(template.render, chats)) == expected
