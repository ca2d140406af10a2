"""How byte-level tokenizers cut text before merges: by the names that GGUF files have for it.

``tokenizer.ggml.pre`` names the model whose rule it is; the rules are those of the tokenizers that
the models were published with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TAIL_WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

_LLAMA_3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_TAIL}"
_QWEN_2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_TAIL}"
_QWEN_3_5 = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|"
    rf"\p{{N}}|{_TAIL_WITH_SLASH}"
)
_GPT_4O = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|"
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|"
    rf"\p{{N}}{{1,3}}|{_TAIL_WITH_SLASH}"
)
_DEEPSEEK_3 = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
    r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
_DEEPSEEK_CODER = (
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    r"\p{N}",
)


@dataclass(frozen=True)
class Rule:
    """How text becomes words, and what goes with it."""

    patterns: Sequence[str] = ()
    """Applied one after the other; what matches is a word. Without any: GPT-2's own pattern."""
    single_digits: bool = False
    """Digits are words of their own, before GPT-2's pattern applies."""
    ignore_merges: bool = False
    """A word that is in the vocabulary is a token, whatever the merges say."""
    adds_bos: bool = False
    """Where the file does not say whether texts begin with a BOS."""
    normalizes: bool = False
    """Text is brought into the normal form NFC first."""

    def pre_tokenizer(self) -> PreTokenizer:
        if not self.patterns:
            digits = [Digits(individual_digits=True)] if self.single_digits else []
            return PreTokenizers([*digits, ByteLevel(add_prefix_space=False, use_regex=True)])
        splits = [Split(Regex(pattern), "isolated") for pattern in self.patterns]
        return PreTokenizers([*splits, ByteLevel(add_prefix_space=False, use_regex=False)])


_LLAMA_3_RULE = Rule([_LLAMA_3], ignore_merges=True, adds_bos=True)
_QWEN_2_RULE = Rule([_QWEN_2], normalizes=True)
_GPT_2_RULE = Rule()
_DIGITS_RULE = Rule(single_digits=True)

RULES: dict[str, Rule] = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral"), _LLAMA_3_RULE),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), Rule([_LLAMA_3])),
    **dict.fromkeys(("glm4",), Rule([_LLAMA_3], ignore_merges=True)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), _QWEN_2_RULE),
    **dict.fromkeys(("stablelm2", "hunyuan"), Rule([_QWEN_2])),
    "qwen35": Rule([_QWEN_3_5], normalizes=True),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "exaone4", "granite-docling"), _GPT_2_RULE),
    **dict.fromkeys(
        ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"),
        _DIGITS_RULE,
    ),
    "tekken": Rule([_TEKKEN], ignore_merges=True, adds_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), Rule([_GPT_4O])),
    "deepseek-v3": Rule(_DEEPSEEK_3),
    "deepseek-coder": Rule(_DEEPSEEK_CODER),
}
"""By the values of ``tokenizer.ggml.pre``."""

USUAL = {"llama": "llama-bpe", "qwen2": "qwen2", "qwen2moe": "qwen2", "qwen3": "qwen2"}
"""By architecture, for old files that do not name their rule; else it is GPT-2's."""
