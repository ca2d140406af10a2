"""The tokenizer that a GGUF file carries in its metadata.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer". Two kinds are
known: "gpt2", merges over bytes, and "llama", a SentencePiece model of merges, of which the file
has the scores alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import AddedToken, decoders, normalizers, processors
from tokenizers import Tokenizer as TokenizerCore
from tokenizers.models import BPE

from sglang.srt.configs.errors import ModelLoadError
from sglang.srt.configs.gguf_file import GGUFFile, open_gguf
from sglang.srt.tokenizer.backends import FastBackend
from sglang.srt.tokenizer.gguf_pretokenizers import RULES, USUAL, Rule
from sglang.srt.tokenizer.tokenizer import SpecialTokens, Tokenizer

logger = logging.getLogger(__name__)

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""Values of ``tokenizer.ggml.token_type``."""

_ROLES = {
    "bos": "bos_token",
    "eos": "eos_token",
    "unknown": "unk_token",
    "seperator": "sep_token",  # the key is misspelt in the format
    "padding": "pad_token",
    "cls": "cls_token",
    "mask": "mask_token",
}
_SPACE = "\u2581"
"""What stands for a space in SentencePiece."""

_RAW = "surrogateescape"
"""How strings of the file hold bytes that are no text."""


class _Vocabulary(NamedTuple):
    """What the metadata say about tokens."""

    file: GGUFFile
    tokens: list[str]
    types: Sequence[int]

    def entry(self, key: str) -> Any:
        return self.file.metadata.get(f"tokenizer.ggml.{key}")

    def error(self, key: str, problem: str) -> ModelLoadError:
        return ModelLoadError(f"{self.file.path}: 'tokenizer.ggml.{key}' {problem}")

    def ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    def special(self, role: str) -> str | None:
        """The token of a role, such as ``bos``."""
        index = self.entry(f"{role}_token_id")
        if index is None:
            return None
        if type(index) is not int or not 0 <= index < len(self.tokens):
            raise self.error(f"{role}_token_id", f"is {index!r}, no id of a token")
        return self.tokens[index]

    def switch(self, key: str, default: bool) -> bool:
        value = self.entry(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, got {value!r}")
        return value


def load_gguf_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the GGUF file ``path``.

    Raises ModelLoadError naming the entry that is missing, damaged or not implemented.
    """
    vocabulary = _read_vocabulary(open_gguf(path))
    kind = vocabulary.entry("model")
    if kind == "gpt2":
        core, adds_bos = _byte_level(vocabulary)
    elif kind == "llama":
        core, adds_bos = _sentencepiece(vocabulary), True
    else:
        raise vocabulary.error("model", f"{kind!r} is not implemented yet; known: gpt2, llama")
    core.add_tokens(list(_added_tokens(vocabulary)))
    _add_ends(core, vocabulary, adds_bos)
    named = {name: vocabulary.special(role) for role, name in _ROLES.items()}
    return Tokenizer(
        FastBackend(core),
        SpecialTokens({name: token for name, token in named.items() if token is not None}),
        chat_template=_chat_template(vocabulary.file),
    )


def _read_vocabulary(file: GGUFFile) -> _Vocabulary:
    vocabulary = _Vocabulary(file, [], ())
    tokens = vocabulary.entry("tokens")
    if not isinstance(tokens, list) or not tokens:
        raise vocabulary.error("tokens", "must list the tokens")
    types = vocabulary.entry("token_type")
    if types is None:
        return vocabulary._replace(tokens=tokens, types=[1] * len(tokens))
    if not isinstance(types, np.ndarray) or len(types) != len(tokens):
        raise vocabulary.error("token_type", f"must have an entry for each of {len(tokens)} tokens")
    return vocabulary._replace(tokens=_readable(tokens), types=types.tolist())


def _readable(tokens: list[str]) -> list[str]:
    """Tokens that are not text, which nothing can become, in a form that can be shown."""
    return [
        token if token.isprintable() else token.encode(errors=_RAW).decode(errors="replace")
        for token in tokens
    ]


def _byte_level(vocabulary: _Vocabulary) -> tuple[TokenizerCore, bool]:
    """Merges over bytes, and whether a BOS is usual with them."""
    rule = _rule(vocabulary)
    merges = vocabulary.entry("merges")
    if not isinstance(merges, list):
        raise vocabulary.error("merges", "must list the merges")
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    core = _core(vocabulary, pairs, ignore_merges=rule.ignore_merges)
    if rule.normalizes:
        core.normalizer = normalizers.NFC()
    core.pre_tokenizer = rule.pre_tokenizer()
    core.decoder = decoders.ByteLevel()
    return core, rule.adds_bos


def _rule(vocabulary: _Vocabulary) -> Rule:
    name = vocabulary.entry("pre")
    if name in (None, "default"):
        name = USUAL.get(vocabulary.file.architecture, "gpt-2")
        logger.warning("%s does not say how to cut text: as %s does", vocabulary.file.path, name)
    if name not in RULES:
        raise vocabulary.error(
            "pre", f"{name!r} is not implemented yet; known: {', '.join(sorted(RULES))}"
        )
    return RULES[name]


def _sentencepiece(vocabulary: _Vocabulary) -> TokenizerCore:
    """Merges by the scores of what comes out; what is in no token becomes its bytes."""
    scores = vocabulary.entry("scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(vocabulary.tokens):
        raise vocabulary.error("scores", "must have one entry for each token")
    kinds = zip(vocabulary.tokens, vocabulary.types, strict=True)
    unknown = next((token for token, kind in kinds if kind == _UNKNOWN), None)
    merges = _merges_by_score(vocabulary, scores.tolist())
    core = _core(vocabulary, merges, byte_fallback=True, fuse_unk=True, unk_token=unknown)
    begins_with_space = vocabulary.switch("add_space_prefix", True)
    first = [normalizers.Prepend(_SPACE)] if begins_with_space else []
    core.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", _SPACE)])
    last = [decoders.Strip(" ", 1, 0)] if begins_with_space else []
    core.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    return core


def _merges_by_score(vocabulary: _Vocabulary, scores: list[float]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, that of the highest score first."""
    ids = vocabulary.ids()
    found: list[tuple[float, int, tuple[str, str]]] = []
    for index, token in enumerate(vocabulary.tokens):
        if vocabulary.types[index] not in (1, _USER_DEFINED):
            continue
        for cut in range(1, len(token)):
            pair = (token[:cut], token[cut:])
            if pair[0] in ids and pair[1] in ids:
                found.append((-scores[index], index, pair))
    return [pair for _, _, pair in sorted(found, key=lambda each: each[:2])]


def _core(vocabulary: _Vocabulary, merges: Sequence[Any], **options: Any) -> TokenizerCore:
    try:
        return TokenizerCore(BPE(vocabulary.ids(), merges, **options))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust side panics with an exception of its own kind
        raise ModelLoadError(f"{vocabulary.file.path}: the tokenizer is damaged: {error}") from None


def _added_tokens(vocabulary: _Vocabulary) -> Iterator[AddedToken]:
    """Tokens that are found in a text before all others."""
    for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True):
        if kind == _CONTROL and token:
            yield AddedToken(token, special=True, normalized=False)
        # Runs of spaces are tokens like others: the merges find them.
        elif kind == _USER_DEFINED and token and not token.startswith(_SPACE):
            yield AddedToken(token, special=False, normalized=False)


def _add_ends(core: TokenizerCore, vocabulary: _Vocabulary, adds_bos: bool) -> None:
    """Have texts begin and end with the tokens that belong there."""
    bos, eos = vocabulary.special("bos"), vocabulary.special("eos")
    before = bos if bos and vocabulary.switch("add_bos_token", adds_bos) else None
    after = eos if eos and vocabulary.switch("add_eos_token", False) else None
    if before is None and after is None:
        if vocabulary.entry("model") == "gpt2":
            core.post_processor = processors.ByteLevel(trim_offsets=False)
        return
    ids = vocabulary.ids()
    one = [part for part in (before, "$A", after) if part]
    two = [part for part in (before, "$B:1", after) if part]
    core.post_processor = processors.TemplateProcessing(
        single=one,
        pair=[*one, *two],
        special_tokens=[(token, ids[token]) for token in {before, after} if token],
    )


def _chat_template(file: GGUFFile) -> str | dict[str, str] | None:
    prefix = "tokenizer.chat_template"
    default = file.metadata.get(prefix)
    named = {
        key.removeprefix(f"{prefix}."): value
        for key, value in file.metadata.items()
        if key.startswith(f"{prefix}.") and isinstance(value, str)
    }
    if default is not None and not isinstance(default, str):
        raise ModelLoadError(f"{file.path}: '{prefix}' must be text")
    if not named:
        return default
    return named if default is None else {"default": default, **named}
