"""Prompts of every data set: lengths, repeatability, files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sglang.bench.datasets import DatasetOptions, load_prompts
from sglang.bench.prompts import Prompt
from sglang.bench.tokenizers import open_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Tokenizer:
    return open_tokenizer(str(checkpoint))


def load(tokenizer: Tokenizer, name: str, **options: Any) -> list[Prompt]:
    return load_prompts(DatasetOptions(dataset_name=name, **options), tokenizer)


def write(path: Path, *lines: Any) -> str:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return str(path)


def test_random_texts_have_exactly_the_length(tokenizer: Tokenizer) -> None:
    prompts = load(tokenizer, "random", num_prompts=20, random_input_len=37, random_range_ratio=1.0)
    assert [p.input_len for p in prompts] == [37] * 20
    assert [len(tokenizer.encode(str(p.content))) for p in prompts] == [37] * 20


def test_random_texts_without_words_in_the_vocabulary(byte_checkpoint: Path) -> None:
    tokenizer = open_tokenizer(str(byte_checkpoint))
    prompts = load(tokenizer, "random", num_prompts=3, random_input_len=9, random_range_ratio=1.0)
    assert [p.input_len for p in prompts] == [9] * 3


def test_random_ids_are_plain_tokens(tokenizer: Tokenizer) -> None:
    prompts = load(tokenizer, "random-ids", num_prompts=50, random_input_len=20)
    ids = {int(i) for prompt in prompts for i in prompt.content}
    assert max(ids) < len(tokenizer)
    assert not ids & set(tokenizer.all_special_ids)


def test_lengths_are_spread_over_the_range(tokenizer: Tokenizer) -> None:
    prompts = load(
        tokenizer,
        "random-ids",
        num_prompts=400,
        random_input_len=10,
        random_output_len=4,
        random_range_ratio=0.5,
    )
    assert {p.input_len for p in prompts} == set(range(5, 11))
    assert {p.output_len for p in prompts} == {2, 3, 4}


@pytest.mark.parametrize("name", ["random", "random-ids", "sharegpt"])
def test_prompts_follow_from_the_seed(tokenizer: Tokenizer, name: str) -> None:
    first, again = (load(tokenizer, name, num_prompts=5, seed=3) for _ in range(2))
    assert first == again
    assert first != load(tokenizer, name, num_prompts=5, seed=4)


def test_groups_share_a_beginning(tokenizer: Tokenizer) -> None:
    options = {"gsp_num_groups": 3, "gsp_prompts_per_group": 4, "gsp_system_prompt_len": 50}
    prompts = load(tokenizer, "generated-shared-prefix", gsp_question_len=10, **options)
    beginnings = [str(p.content).split("\n\n")[0] for p in prompts]
    assert len(set(beginnings)) == 3
    assert all(beginnings.count(b) == 4 for b in beginnings)
    assert len({p.content for p in prompts}) == 12
    assert {len(tokenizer.encode(b)) for b in beginnings} == {50}


def test_groups_can_be_cut_short(tokenizer: Tokenizer) -> None:
    options = {"gsp_num_groups": 2, "gsp_prompts_per_group": 3, "gsp_system_prompt_len": 8}
    assert len(load(tokenizer, "generated-shared-prefix", num_prompts=4, **options)) == 4


def test_without_a_file_lengths_are_about_those_of_sharegpt(
    tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = load(tokenizer, "sharegpt", num_prompts=300)
    mean = sum(p.input_len for p in prompts) / len(prompts)
    assert mean == pytest.approx(150, abs=30)
    assert "random text" in capsys.readouterr().err


def conversation(question: str, answer: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "1", "conversations": turns}


@pytest.fixture
def sharegpt(tmp_path: Path) -> str:
    entries = [
        conversation("the quick brown fox jumps", "over the lazy dog and on"),
        conversation("x", "too short a question"),
        conversation("too long " * 800, "an answer of some words"),
        {"id": "2", "conversations": [{"from": "human", "value": "no answer to this at all"}]},
    ]
    path = tmp_path / "sharegpt.json"
    path.write_text(json.dumps(entries))
    return str(path)


def test_sharegpt_takes_first_turns_within_the_limits(tokenizer: Tokenizer, sharegpt: str) -> None:
    (prompt,) = load(tokenizer, "sharegpt", dataset_path=sharegpt)
    assert prompt.content == "the quick brown fox jumps"
    assert prompt.output_len == len(tokenizer.encode("over the lazy dog and on"))


def test_sharegpt_answers_can_have_a_fixed_length(tokenizer: Tokenizer, sharegpt: str) -> None:
    (prompt,) = load(tokenizer, "sharegpt", dataset_path=sharegpt, sharegpt_output_len=7)
    assert prompt.output_len == 7


def test_sharegpt_with_a_context_length(tokenizer: Tokenizer, sharegpt: str) -> None:
    options = {"dataset_path": sharegpt, "sharegpt_context_len": 100_000}
    assert len(load(tokenizer, "sharegpt", **options)) == 2


def test_chat_template_is_applied(tokenizer: Tokenizer, sharegpt: str) -> None:
    prompts = load(tokenizer, "sharegpt", dataset_path=sharegpt, apply_chat_template=True)
    texts = [str(prompt.content) for prompt in prompts]
    assert "<|im_start|>user\nthe quick brown fox jumps<|im_end|>\n<|im_start|>assistant\n" in texts
    assert [p.input_len for p in prompts] == [len(tokenizer.encode(text)) for text in texts]


def test_custom_lines(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = write(
        tmp_path / "own.jsonl",
        {"prompt": "the fox", "output_len": 3},
        {"prompt": [5, 6, 7]},
        {"messages": [{"role": "user", "content": "the dog"}]},
    )
    text, ids, chat = load(tokenizer, "custom", dataset_path=path, custom_output_len=9)
    assert (text.content, text.output_len) == ("the fox", 3)
    assert (ids.content, ids.input_len, ids.output_len) == ([5, 6, 7], 3, 9)
    assert "<|im_start|>user\nthe dog" in str(chat.content)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ({"prompt": ""}, "needs a prompt"),
        ({"prompt": [1.5]}, "needs a prompt"),
        ({"prompt": "a", "output_len": 0}, "output_len must be a positive whole number, got 0"),
        (["a"], "expected a JSON object"),
    ],
)
def test_bad_custom_lines_are_named(
    tokenizer: Tokenizer, tmp_path: Path, line: Any, part: str
) -> None:
    path = write(tmp_path / "own.jsonl", {"prompt": "fine"}, line)
    with pytest.raises(ValueError, match=f"line 2: {part}"):
        load(tokenizer, "custom", dataset_path=path)


@pytest.mark.parametrize("text", ["{}", "[1]", "not json", '[{"conversations": [{}, {}]}]'])
def test_bad_sharegpt_files_are_refused(tokenizer: Tokenizer, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="ShareGPT"):
        load(tokenizer, "sharegpt", dataset_path=str(path))


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("custom", {}, "needs --dataset-path"),
        ("random", {"dataset_path": "x"}, "--dataset-path has no meaning"),
        ("random-ids", {"apply_chat_template": True}, "needs text"),
        ("sharegpt", {"sharegpt_context_len": 9}, "needs --dataset-path"),
    ],
)
def test_options_that_exclude_each_other(
    tokenizer: Tokenizer, name: str, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        load(tokenizer, name, **options)
