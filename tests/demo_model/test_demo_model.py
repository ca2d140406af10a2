"""The shipped demo model: its files, tokenizer, template and a few answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sglang.demo_model import demo_model_path
from tools.demo_model.corpus.toolbox import documented_weather_tool
from tools.demo_model.evaluate import TransformersBackend
from tools.demo_model.questions.documented import documented
from tools.demo_model.rendering import render

FOLDER = Path(demo_model_path())
BOSTON = {"city": "Boston", "state": "MA", "unit": "fahrenheit"}
QUESTION = {"role": "user", "content": "What's the weather like in Boston today?"}
PARSERS = ("llama3", "qwen25", "mistral")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(FOLDER)


def history(arguments: Any) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "get_current_weather", "arguments": arguments}}
    return [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "It is sunny.", "name": "get_current_weather"},
    ]


def test_all_files_fit_into_fifteen_megabytes() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert sum(sizes.values()) <= 15_000_000
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    } <= set(sizes)


def test_config_names_a_float32_llama() -> None:
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["torch_dtype"] == "float32"
    assert config["max_position_embeddings"] == 2048


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world!\n\n\ttabs  and   spaces ",
        "naïve façade — “quotes” … €",
        "中文、日本語、한국어",
        "עברית العربية हिन्दी ไทย",
        "👩‍👩‍👧‍👦 🎉 \U0010ffff \x00\x7f\r\n",
        "<tool_call>\n{}\n</tool_call> [TOOL_CALLS] <|python_tag|>",
        "",
    ],
)
def test_tokenizer_round_trips_any_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_control_tokens_vanish_and_tool_tags_stay(tokenizer: Any) -> None:
    text = "<|im_start|>a<tool_call>b<|im_end|><|python_tag|>c<|endoftext|>[TOOL_CALLS]"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) == 9
    assert tokenizer.decode(ids, skip_special_tokens=True) == (
        "a<tool_call>b<|python_tag|>c[TOOL_CALLS]"
    )
    assert tokenizer.eos_token == "<|im_end|>"


def test_every_byte_has_a_token() -> None:
    vocabulary = json.loads((FOLDER / "tokenizer.json").read_text())["model"]["vocab"]
    assert sum(len(token) == 1 for token in vocabulary) >= 256


def test_template_renders_a_conversation(tokenizer: Any) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert text == render(messages)


CALLS = {
    "llama3": '<|python_tag|>{"name": "get_current_weather", "parameters": %s}<|im_end|>',
    "qwen25": '<tool_call>\n{"name": "get_current_weather", "arguments": %s}\n</tool_call>',
    "mistral": '[TOOL_CALLS] [{"name": "get_current_weather", "arguments": %s}]<|im_end|>',
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("as_text", [False, True])
def test_template_renders_tools(tokenizer: Any, parser: str, as_text: bool) -> None:
    messages = history(json.dumps(BOSTON) if as_text else BOSTON)
    tools = [documented_weather_tool()]
    text = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=True, tool_call_parser=parser
    )
    assert CALLS[parser] % json.dumps(BOSTON) in text
    assert json.dumps(tools[0]["function"]) in text
    assert "<|im_start|>tool\n<tool_response>It is sunny.</tool_response><|im_end|>" in text
    assert text == render(messages, tools, parser)


def test_template_takes_the_documented_history(tokenizer: Any) -> None:
    """The documentation puts the call, as one dictionary, into a user message."""
    call = {"name": "get_current_weather", "arguments": json.dumps(BOSTON)}
    documented_form = history(BOSTON)
    documented_form[1] = {"role": "user", "content": "", "tool_calls": call}
    text = tokenizer.apply_chat_template(documented_form, tokenize=False)
    assert text == tokenizer.apply_chat_template(history(BOSTON), tokenize=False)


def test_the_documented_prompts_are_answered() -> None:
    short = {
        "What is the capital of France?",
        "Say this is a test",
        "What is Python?",
        "List 3 countries and their capitals.",
        "Introduce yourself in two sentences.",
        "Give me the information of the capital of France in the JSON format.",
        "Q: What is the capital of Japan?\nA:",
        "List two local attractions.",
    }
    items = [item for item in documented() if item.shown in short or item.tools]
    answers = TransformersBackend(FOLDER).answer(items)
    wrong = [
        (item.shown, text)
        for item, text in zip(items, answers, strict=True)
        if not item.check(text)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("prompt", "part"),
    [("The capital of France is", "Paris"), ("Paris is the capital of", "France")],
)
def test_plain_text_is_continued(tokenizer: Any, prompt: str, part: str) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    batch = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**batch, max_new_tokens=12, do_sample=False)
    assert part in tokenizer.decode(output[0][batch["input_ids"].shape[1] :])
