"""What ``--chat-template`` accepts."""

from __future__ import annotations

import json

import pytest
import tokenizer_samples as samples

from sglang.srt.tokenizer import builtin_templates
from sglang.srt.tokenizer.chat_template import ChatTemplateError, resolve_chat_template
from sglang.srt.tokenizer.loading import load_tokenizer

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
EXAMPLE = {
    "name": "my_model",
    "system": "<|im_start|>system",
    "user": "<|im_start|>user",
    "assistant": "<|im_start|>assistant",
    "sep_style": "CHATML",
    "sep": "<|im_end|>",
    "stop_str": ["<|im_end|>", "<|im_start|>"],
}
CHATML = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    "<|im_start|>assistant\n"
)
EXPECTED = {
    "chatml": CHATML,
    "qwen": CHATML,
    "llama-2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"
    " Hello </s><s>[INST] Bye [/INST]",
    "llama-3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "mistral": "<s>[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]",
    "vicuna": "Be brief. USER: Hi ASSISTANT: Hello</s>USER: Bye ASSISTANT:",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello</s>\n"
    "<|user|>\nBye</s>\n<|assistant|>\n",
    "gemma": "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
    "<start_of_turn>model\nHello<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n"
    "<start_of_turn>model\n",
    "phi-3": "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n"
    "<|user|>\nBye<|end|>\n<|assistant|>\n",
    "deepseek-v3": "<s>Be brief.<｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>"  # noqa: RUF001
    "<｜User｜>Bye<｜Assistant｜>",  # noqa: RUF001
}


@pytest.fixture(scope="module")
def plain(ours):
    return ours["byte_level"]


def write(folder, data, name="my_model_template.json"):
    file = folder / name
    file.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return str(file)


def render(argument, tokenizer, chat=CHAT):
    template, _ = resolve_chat_template(argument, tokenizer)
    assert template is not None
    return template.render(chat, add_generation_prompt=True, special_tokens=TOKENS)


@pytest.mark.parametrize("name", EXPECTED)
def test_built_in_formats(name, plain):
    assert render(name, plain) == EXPECTED[name]


def test_every_built_in_name_renders_and_has_stop_strings(plain):
    for name in builtin_templates.NAMES:
        template, stops = resolve_chat_template(name, plain)
        assert template is not None
        assert "Bye" in template.render(CHAT, add_generation_prompt=True)
        assert stops


def test_the_qwen_format_shows_tools_calls_and_results(plain):
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    template, _ = resolve_chat_template("qwen", plain)
    assert template is not None
    text = template.render(
        [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "1"},
            {"role": "tool", "content": "2"},
        ],
        tools=[{"type": "function", "function": {"name": "f"}}],
    )
    assert '<tools>\n{"type": "function", "function": {"name": "f"}}\n</tools>' in text
    assert '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n' in text
    assert text.endswith(
        "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
        "<tool_response>\n2\n</tool_response><|im_end|>\n"
    )


def test_the_documented_json_file(plain, tmp_path):
    argument = write(tmp_path, EXAMPLE)
    assert render(argument, plain) == CHATML
    assert resolve_chat_template(argument, plain)[1] == ["<|im_end|>", "<|im_start|>"]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("ADD_COLON_SINGLE", "S\nBe brief.#U: Hi#A: Hello#U: Bye#A:"),
        ("ADD_COLON_SPACE_SINGLE", "S\nBe brief.#U: Hi#A: Hello#U: Bye#A: "),
        ("ADD_COLON_TWO", "S\nBe brief.#U: Hi#A: Hello</s>U: Bye#A:"),
        ("ADD_NEW_LINE_SINGLE", "S\nBe brief.#U\nHi#A\nHello#U\nBye#A\n"),
        ("NO_COLON_SINGLE", "S\nBe brief.UHi#AHello#UBye#A"),
        ("NO_COLON_TWO", "S\nBe brief.UHi#AHello</s>UBye#A"),
    ],
)
def test_separator_styles(style, expected, plain, tmp_path):
    data = {"name": "m", "system": "S", "user": "U", "assistant": "A", "sep_style": style}
    if style.endswith("TWO"):
        data["sep2"] = "</s>"
    assert render(write(tmp_path, {**data, "sep": "#"}), plain) == expected


def test_a_json_file_may_bring_a_system_message(plain, tmp_path):
    argument = write(tmp_path, {**EXAMPLE, "system_message": "It's 'quoted' \\ 😀\n"})
    text = render(argument, plain, CHAT[1:2])
    assert text.startswith("<|im_start|>system\nIt's 'quoted' \\ 😀\n<|im_end|>\n<|im_start|>user")
    assert render(argument, plain) == CHATML


def test_without_a_system_message_there_is_no_system_turn(plain, tmp_path):
    text = render(write(tmp_path, EXAMPLE), plain, CHAT[1:2])
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_text_of_a_json_file_is_not_template_code(plain, tmp_path):
    argument = write(tmp_path, {**EXAMPLE, "user": "{{ 1 + 1 }}'}}{% raw %}"})
    assert "{{ 1 + 1 }}'}}{% raw %}\nHi" in render(argument, plain)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{", "my_model_template.json"),
        ([], "one JSON object"),
        ({**EXAMPLE, "sep_style": "LLAMA2"}, "sep_style 'LLAMA2' is not implemented yet"),
        ({**EXAMPLE, "sep_style": None}, "sep_style must be a string"),
        ({k: v for k, v in EXAMPLE.items() if k != "user"}, "user is missing"),
        ({**EXAMPLE, "stop_str": [3]}, "stop_str must be"),
        ({**EXAMPLE, "offset": 1}, "unknown field 'offset'"),
    ],
)
def test_errors_of_a_json_file(data, words, plain, tmp_path):
    with pytest.raises(ChatTemplateError, match=words):
        resolve_chat_template(write(tmp_path, data), plain)


def test_a_jinja_file(plain, tmp_path):
    argument = write(tmp_path, "{{ messages[0].content }}!", "mine.jinja")
    assert render(argument, plain) == "Be brief.!"
    assert resolve_chat_template(argument, plain)[1] == []


def test_a_broken_jinja_file_is_named(plain, tmp_path):
    with pytest.raises(ChatTemplateError, match=r"mine\.jinja.*line 1"):
        resolve_chat_template(write(tmp_path, "{% if %}", "mine.jinja"), plain)


def test_a_missing_file_is_named(plain):
    with pytest.raises(ChatTemplateError, match=r"cannot read nowhere\.jinja: No such file"):
        resolve_chat_template("nowhere.jinja", plain)


def test_an_unknown_name_lists_the_known_ones(plain):
    with pytest.raises(ChatTemplateError, match=r"'lama-2' is neither.*chatml, .*llama-2"):
        resolve_chat_template("lama-2", plain)


@pytest.mark.parametrize("name", ["llama_3_vision", "chatml-llava", "llava_llama_3", "qwen2-vl"])
def test_vision_formats_are_not_there_yet(name, plain):
    with pytest.raises(ChatTemplateError, match=f"{name}: vision models are not implemented yet"):
        resolve_chat_template(name, plain)


def test_without_an_argument_the_checkpoint_decides(plain, tmp_path):
    assert resolve_chat_template(None, plain) == (None, [])
    folder = samples.save("byte_level", tmp_path, chat_template="{{ messages[1].content }}")
    assert render(None, load_tokenizer(str(folder))) == "Hi"
