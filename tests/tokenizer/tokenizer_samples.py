"""Small tokenizers of every family, trained on the spot and saved as checkpoints are."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers import processors as post

CORPUS = [
    "The capital of France is Paris. The capital of Japan is Tokyo.",
    "Hello, world! How are you today? I'm fine, thanks; and you?",
    "def f(x):\n    return x + 1\n\n\nprint(f(41))",
    "Größe und Übermut: naïve café déjà vu",
    "東京は日本の首都です。你好世界。 안녕하세요",
    "numbers 1 22 333 4444   spaces\tand\ttabs",
] * 4


def byte_level(*, with_bos: bool = False) -> Tokenizer:
    """GPT-2, Llama 3, Qwen."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<|begin|>", "<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    core.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    if with_bos:
        core.post_processor = post.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
        )
    return core


def sentencepiece_bpe() -> Tokenizer:
    """Llama 2, Mistral: words with a leading mark, bytes for what the vocabulary lacks."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    core.train_from_iterator(CORPUS[:3], trainer)
    data = json.loads(core.to_str())
    vocab = data["model"]["vocab"]
    for byte in range(256):
        vocab.setdefault(f"<0x{byte:02X}>", len(vocab))
    data["model"].update(byte_fallback=True, fuse_unk=True)
    data["pre_tokenizer"] = None  # words were told apart for the training only
    core = Tokenizer.from_str(json.dumps(data))
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    core.post_processor = post.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return core


def unigram() -> Tokenizer:
    """T5, Albert."""
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    core.post_processor = post.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return core


def word_piece() -> Tokenizer:
    """BERT."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=250, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    core.post_processor = post.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return core


def word_end() -> Tokenizer:
    """The first GPT, CLIP: a mark at the end of a word, so a token's text waits for the next."""
    core = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=250, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    return core


ROLES = {
    "byte_level": {"eos_token": "<|end|>", "pad_token": "<|pad|>"},
    "byte_level_bos": {"bos_token": "<|begin|>", "eos_token": "<|end|>"},
    "sentencepiece": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    "unigram": {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    "word_piece": {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "word_end": {"unk_token": "<unk>"},
}
FAMILIES = tuple(ROLES)


def build(family: str) -> Tokenizer:
    """The trained core of a family."""
    builders = {
        "byte_level": byte_level,
        "byte_level_bos": lambda: byte_level(with_bos=True),
        "sentencepiece": sentencepiece_bpe,
        "unigram": unigram,
        "word_piece": word_piece,
        "word_end": word_end,
    }
    return builders[family]()


def save(family: str, folder: Path, **config: object) -> Path:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` of a family."""
    folder.mkdir(parents=True, exist_ok=True)
    build(family).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **ROLES[family], **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
