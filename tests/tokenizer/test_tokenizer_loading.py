"""Where special tokens and templates of a checkpoint come from, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tokenizer_samples as samples
from tokenizers import Tokenizer as TokenizerCore

from sglang.srt.tokenizer.detokenizer import IncrementalDetokenizer
from sglang.srt.tokenizer.loading import TokenizerLoadError, load_tokenizer
from sglang.srt.tokenizer.token_table import DecodeKind


def both(folder):
    transformers = pytest.importorskip("transformers")
    return (
        load_tokenizer(str(folder)),
        transformers.PreTrainedTokenizerFast.from_pretrained(str(folder)),
    )


def edit(folder, **config):
    file = folder / "tokenizer_config.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, **config}))


def test_neither_torch_nor_transformers_is_imported(checkpoints):
    code = (
        "import sys; from sglang.srt.tokenizer.loading import load_tokenizer;"
        f"load_tokenizer({str(checkpoints['byte_level'])!r}).encode('a');"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_special_tokens_that_only_the_config_declares(tmp_path):
    folder = samples.save(
        "byte_level", tmp_path, additional_special_tokens=["<|user|>", "<|bot|>"], bos_token="<s>"
    )
    mine, other = both(folder)
    text = "<s><|user|>hi<|bot|>"
    assert mine.encode(text) == other.encode(text)
    assert mine.all_special_tokens == other.all_special_tokens
    assert mine.bos_token_id == other.bos_token_id
    assert mine.decode(mine.encode(text), skip_special_tokens=True) == "hi"


def test_added_tokens_decoder_overrides_flags_and_adds_tokens(tmp_path):
    size = samples.byte_level().get_vocab_size()
    token = {"lstrip": False, "rstrip": True, "normalized": False, "single_word": False}
    folder = samples.save(
        "byte_level",
        tmp_path,
        added_tokens_decoder={
            "1": {**token, "content": "<|end|>", "special": True},
            str(size): {**token, "content": "<new>", "special": False},
        },
    )
    mine, other = both(folder)
    text = "a<|end|>  b<new>  c"
    assert mine.encode(text) == other.encode(text)
    assert mine.get_added_vocab() == other.get_added_vocab()


def test_older_layout_with_separate_files(tmp_path):
    folder = samples.save("byte_level", tmp_path)
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "<|end|>", "lstrip": False}, "pad_token": "<|pad|>"})
    )
    mine, other = both(folder)
    assert (mine.eos_token, mine.pad_token) == (other.eos_token, other.pad_token)


def test_lengths_of_the_training_run_do_not_matter(tmp_path):
    core = samples.byte_level()
    core.enable_truncation(4)
    core.enable_padding(length=64)
    folder = samples.save("byte_level", tmp_path)
    core.save(str(folder / "tokenizer.json"))
    mine, other = both(folder)
    text = "The capital of France is Paris"
    assert mine.encode(text) == other.encode(text)
    assert mine.decode(mine.encode(text)) == text


def test_add_bos_token_in_the_config_follows_transformers(tmp_path):
    folder = samples.save("byte_level", tmp_path, add_bos_token=True, bos_token="<|begin|>")
    mine, other = both(folder)
    assert mine.encode("Hello") == other.encode("Hello")


def test_model_max_length(tmp_path):
    mine, other = both(samples.save("byte_level", tmp_path, model_max_length=77))
    assert mine.model_max_length == other.model_max_length == 77


@pytest.mark.parametrize("source", ["config", "jinja file", "json file"])
def test_chat_template_is_found(tmp_path, source):
    folder = samples.save("byte_level", tmp_path)
    if source == "config":
        edit(folder, chat_template="A")
    elif source == "jinja file":
        edit(folder, chat_template="not this")
        (folder / "chat_template.jinja").write_text("A")
    else:
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": "A"}))
    assert load_tokenizer(str(folder)).chat_template == "A"


def test_named_chat_templates(tmp_path):
    named = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]
    mine, other = both(samples.save("byte_level", tmp_path, chat_template=named))
    assert mine.chat_template == other.chat_template
    for tools in (None, [{"type": "function"}]):
        assert mine.get_chat_template(tools=tools) == other.get_chat_template(tools=tools)
    assert mine.get_chat_template("tool_use") == "T"


def test_named_chat_template_files(tmp_path):
    folder = samples.save("byte_level", tmp_path)
    (folder / "chat_template.jinja").write_text("D")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("R")
    mine, other = both(folder)
    assert mine.chat_template == other.chat_template == {"default": "D", "rag": "R"}


def test_chat_template_argument_wins(tmp_path):
    folder = samples.save("byte_level", tmp_path, chat_template="config")
    assert load_tokenizer(str(folder), chat_template="mine").chat_template == "mine"


@pytest.mark.parametrize("mode", ["auto", "slow"])
def test_a_checkpoint_without_tokenizer_json_goes_through_transformers(tmp_path, mode):
    transformers = pytest.importorskip("transformers")
    core = samples.byte_level()
    data = json.loads(core.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(data["vocab"]))
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in data["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|end|>", "unk_token": "!"})
    )
    mine = load_tokenizer(str(tmp_path), mode=mode)
    other = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    text = "The capital of France is Paris 😀"
    assert mine.encode(text) == other.encode(text)
    assert mine.decode(mine.encode(text)) == other.decode(other.encode(text))
    assert mine.eos_token_id == other.eos_token_id


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "not a readable tokenizer"), ('{"version": "1.0", "model": {}}', "tokenizer.json")],
)
def test_a_broken_tokenizer_file_is_named(tmp_path, content, words):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerLoadError, match=words):
        load_tokenizer(str(tmp_path))


def test_a_broken_config_file_is_named(tmp_path):
    folder = samples.save("byte_level", tmp_path)
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(TokenizerLoadError, match=r"tokenizer_config\.json"):
        load_tokenizer(str(folder))


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(TokenizerLoadError, match="nowhere is not a directory"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_an_empty_directory_is_refused(tmp_path):
    with pytest.raises(TokenizerLoadError, match=r"no tokenizer\.json"):
        load_tokenizer(str(tmp_path))


def test_an_unknown_mode_is_refused(checkpoints):
    with pytest.raises(TokenizerLoadError, match="'quick' is none of auto, slow"):
        load_tokenizer(str(checkpoints["byte_level"]), mode="quick")


def test_split_special_tokens(tmp_path):
    mine, other = both(samples.save("byte_level", tmp_path, split_special_tokens=True))
    assert mine.encode("a<|end|>b") == other.encode("a<|end|>b")
    assert TokenizerCore.from_file(str(tmp_path / "tokenizer.json")).token_to_id("<|end|>") not in (
        mine.encode("a<|end|>b")
    )


def test_a_python_tokenizer_works_through_its_own_code(tmp_path):
    transformers = pytest.importorskip("transformers")
    other = transformers.ByT5Tokenizer()
    other.save_pretrained(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    mine = load_tokenizer(str(tmp_path))
    text = "The capital of France is Paris 😀"
    ids = other.encode(text)
    assert not mine.is_fast
    assert mine.encode(text) == ids
    assert mine.decode(ids) == other.decode(ids)
    assert mine.eos_token_id == other.eos_token_id
    assert len(mine) == len(other)
    detokenizer = IncrementalDetokenizer(mine, [])
    streamed = [detokenizer.push([token]) for token in ids]
    assert "".join(streamed) + detokenizer.flush() == text


def test_a_sentencepiece_model_alone_goes_through_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(samples.CORPUS),
        model_prefix=str(tmp_path / "tokenizer"),
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        minloglevel=2,
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"})
    )
    mine = load_tokenizer(str(tmp_path))
    other = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    text = "The capital of France is Paris 😀"
    assert mine.encode(text) == other.encode(text)
    assert mine.decode(mine.encode(text)) == other.decode(other.encode(text))
    assert mine.token_table.kind is DecodeKind.SENTENCEPIECE
