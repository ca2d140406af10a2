"""Tokenizers in GGUF files: the same ids and texts as the tokenizer that the file was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Core

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer
from tests.model_loader.gguf_writer import write_gguf
from tests.tokenizer import tokenizer_samples as samples

TEXTS = [
    "The capital of France is Paris.",
    "  two  spaces, a\ttab\n\n and lines\r\n\n\n  indented   ",
    "I'm, you'RE, we'll: it's 1 22 333 4444 55555",
    "Größe Übermut 東京は日本の 안녕하세요 🙂🙃 ÀÉ",
    "<|end|> </s> <tool_call> x",
    "camelCase HTTPServer aB1c2 path/to/file --- ...",
    "",
    " ",
]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def metadata_of(core: Core, kind: str) -> dict[str, Any]:
    """What llama.cpp's converter writes about a tokenizer."""
    model = json.loads(core.to_str())["model"]
    vocabulary = core.get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    types = [NORMAL] * len(tokens)
    for index, added in core.get_added_tokens_decoder().items():
        types[index] = CONTROL if added.special else USER_DEFINED
    prefix = "tokenizer.ggml."
    found: dict[str, Any] = {f"{prefix}model": kind, f"{prefix}tokens": tokens}
    if kind == "gpt2":
        found[f"{prefix}merges"] = [" ".join(pair) for pair in model["merges"]]
    else:
        types = [UNKNOWN if t == "<unk>" else k for t, k in zip(tokens, types, strict=True)]
        types = [BYTE if t.startswith("<0x") else k for t, k in zip(tokens, types, strict=True)]
        ranks = {"".join(pair): rank for rank, pair in enumerate(model["merges"])}
        found[f"{prefix}scores"] = [-float(ranks.get(token, 0)) for token in tokens]
    return {"general.architecture": "llama", **found, f"{prefix}token_type": types}


def load(path: Path, core: Core, kind: str = "gpt2", **more: Any) -> Tokenizer:
    entries = {f"tokenizer.ggml.{key}": value for key, value in more.items()}
    metadata = {**metadata_of(core, kind), **entries}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    return load_tokenizer(str(write_gguf(path / "model.gguf", metadata, {})))


def check(found: Tokenizer, core: Core) -> None:
    for text in TEXTS:
        ids = core.encode(text).ids
        assert found.encode(text) == ids, text
        for skip in (False, True):
            assert found.decode(ids, skip) == core.decode(ids, skip_special_tokens=skip), text


def test_byte_level(tmp_path: Path) -> None:
    core = samples.byte_level()
    check(load(tmp_path, core, pre="gpt-2"), core)


def test_byte_level_with_bos(tmp_path: Path) -> None:
    core = samples.byte_level(with_bos=True)
    check(load(tmp_path, core, pre="gpt-2", bos_token_id=0, add_bos_token=True), core)


def test_sentencepiece(tmp_path: Path) -> None:
    core = samples.sentencepiece_bpe()
    found = load(tmp_path, core, "llama", bos_token_id=1, eos_token_id=2, unknown_token_id=0)
    check(found, core)
    assert found.special_tokens_map == {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }


def test_sentencepiece_without_a_leading_space(tmp_path: Path) -> None:
    core = samples.sentencepiece_bpe()
    found = load(tmp_path, core, "llama", add_space_prefix=False)
    assert found.decode(found.encode("capital")) == "capital"
    assert found.tokenize("capital")[0] != "▁c"


LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {
    "llama-bpe": LLAMA_3,
    "qwen2": LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}"),
    "tekken": TEKKEN,
}
"""As ``tokenizer.json`` of these models has them."""


@pytest.mark.parametrize("pre", PATTERNS)
def test_words_are_cut_as_the_file_says(tmp_path: Path, pre: str) -> None:
    core = Core(models.BPE(ignore_merges=pre != "qwen2"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([*samples.CORPUS, *TEXTS * 3], trainer)
    check(load(tmp_path, core, pre=pre), core)


@pytest.mark.parametrize(("pre", "expected"), [("llama-bpe", 1), ("qwen2", 0)])
def test_a_bos_is_a_matter_of_the_family(tmp_path: Path, pre: str, expected: int) -> None:
    core = samples.byte_level()
    found = load(tmp_path, core, pre=pre, bos_token_id=0)
    assert found.encode("Paris").count(0) == expected


def test_single_digits(tmp_path: Path) -> None:
    found = load(tmp_path, samples.byte_level(), pre="smollm")
    assert found.tokenize("333") == ["3", "3", "3"]


def test_chat_templates(tmp_path: Path) -> None:
    metadata = {
        **metadata_of(samples.byte_level(), "gpt2"),
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.chat_template": "plain {{ messages[0].content }}",
        "tokenizer.chat_template.tool_use": "tools",
    }
    found = load_tokenizer(str(write_gguf(tmp_path / "m.gguf", metadata, {})))
    assert found.get_chat_template() == "plain {{ messages[0].content }}"
    assert found.get_chat_template(tools=[{}]) == "tools"


DAMAGED: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"model": "t5"}, "'tokenizer.ggml.model' 't5' is not implemented yet"),
    "cut": ({"pre": "nobody"}, "'tokenizer.ggml.pre' 'nobody' is not implemented yet"),
    "no tokens": ({"tokens": None}, "'tokenizer.ggml.tokens' must list the tokens"),
    "no merges": ({"merges": None}, "'tokenizer.ggml.merges' must list the merges"),
    "merge of nothing": ({"merges": ["qqq zzz"]}, "the tokenizer is damaged"),
    "merge of one": ({"merges": ["qqq"]}, "the tokenizer is damaged|must list the merges"),
    "types short": ({"token_type": [1]}, "must have an entry for each of"),
    "bos of no token": ({"bos_token_id": 9999}, "bos_token_id' is 9999, no id of a token"),
    "switch": ({"bos_token_id": 0, "add_bos_token": 1}, "must be true or false, got 1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    entries, message = DAMAGED[name]
    with pytest.raises(ModelLoadError, match=message):
        load(tmp_path, samples.byte_level(), **{"pre": "gpt-2", **entries})


def test_scores_short(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="scores' must have one entry for each token"):
        load(tmp_path, samples.sentencepiece_bpe(), "llama", scores=[0.5])
