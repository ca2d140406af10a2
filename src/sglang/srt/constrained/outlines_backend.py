"""Grammars by outlines-core: regular expressions as finite automata over tokens.

JSON schemas become regular expressions. https://github.com/dottxt-ai/outlines-core
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.grammar import GrammarSpec, Unsupported, preview
from sglang.srt.constrained.json_schema import ITEM_SEPARATOR, KEY_SEPARATOR, read_schema
from sglang.srt.constrained.plain_schema import beyond, is_recursive
from sglang.srt.constrained.regex import for_rust
from sglang.srt.constrained.rehearsal import rehearse
from sglang.srt.constrained.vocabulary import token_bytes
from sglang.srt.tokenizer.tokenizer import Tokenizer

KEYWORDS = {
    "array": frozenset({"items", "minItems", "maxItems"}),
    "boolean": frozenset[str](),
    "integer": frozenset[str](),
    "null": frozenset[str](),
    "number": frozenset[str](),
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "string": frozenset({"minLength", "maxLength"}),
}


GAP = "\x01"
"""Stands in an expression where white space might be allowed; JSON text does not contain it."""


class OutlinesBackend:
    """Implements ``grammar.Backend``; ``whitespace`` is the regular expression of the white space
    allowed between the parts of a JSON document, None for the usual separators alone."""

    name = "outlines"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        vocab_size: int,
        eos_token_ids: tuple[int, ...],
        whitespace: str | None,
    ) -> None:
        import outlines_core

        if not eos_token_ids:
            raise ValueError("--grammar-backend outlines needs a model with an end-of-text token")
        self._lib: Any = outlines_core
        self._whitespace = whitespace
        self._eos_token_ids = eos_token_ids
        texts = token_bytes(tokenizer)
        self._vocab_size = max(vocab_size, len(texts))
        ids: dict[bytes, list[int]] = {}
        for token, text in enumerate(texts):
            if text and token not in eos_token_ids:
                ids.setdefault(text, []).append(token)
        self._vocabulary = outlines_core.Vocabulary(eos_token_ids[0], ids)

    def prepare(self, spec: GrammarSpec) -> bytes:
        pattern = self._pattern(spec)
        try:
            index = self._lib.Index(pattern, self._vocabulary)
        except ValueError as error:
            raise Unsupported(preview(str(error))) from None
        rehearse(self._grammar(index), self._vocab_size)
        _, (binary,) = index.__reduce__()
        return bytes(binary)

    def load(self, prepared: bytes) -> OutlinesGrammar:
        return self._grammar(self._lib.Index.from_binary(prepared))

    def _grammar(self, index: Any) -> OutlinesGrammar:
        return OutlinesGrammar(self._lib, index, self._eos_token_ids, self._vocab_size)

    def _pattern(self, spec: GrammarSpec) -> str:
        if spec.kind == "regex":
            return for_rust(spec.text)
        if spec.kind != "json_schema":
            raise Unsupported(f"{spec.kind} is left to llguidance")
        schema = read_schema(spec.text)
        if (place := beyond(schema, KEYWORDS)) is not None:
            raise Unsupported(f"not enforced: {place}")
        if is_recursive(schema):
            raise Unsupported("recursive schemas have no regular expression")
        build = self._lib.json_schema.build_regex_from_schema
        try:
            pattern = str(build(json.dumps(schema), self._whitespace or GAP))
        except ValueError as error:
            raise Unsupported(preview(str(error))) from None
        return pattern if self._whitespace else _with_usual_separators(pattern)


def _with_usual_separators(pattern: str) -> str:
    """The expression of a schema with one space behind each comma and colon, and no other."""
    pattern = pattern.replace(f"{GAP}:{GAP}", KEY_SEPARATOR)
    for before, between in ((GAP, ")?"), (GAP, ""), ("(", "")):
        kept = "" if before == GAP else before
        pattern = pattern.replace(f"{before},{between}{GAP}", f"{kept}{ITEM_SEPARATOR}{between}")
    return pattern.replace(GAP, "")


class OutlinesGrammar:
    """Implements ``grammar.CompiledGrammar``."""

    def __init__(
        self, lib: Any, index: Any, eos_token_ids: tuple[int, ...], vocab_size: int
    ) -> None:
        self._lib = lib
        self._index = index
        self._eos_token_ids = eos_token_ids
        self._words = (vocab_size + 31) // 32

    def start(self) -> OutlinesState:
        return OutlinesState(self._lib.Guide(self._index), self._eos_token_ids, self._words)


class OutlinesState:
    """Implements ``grammar.GrammarState``."""

    __slots__ = ("_eos_token_ids", "_guide", "_words", "error")

    def __init__(self, guide: Any, eos_token_ids: tuple[int, ...], words: int) -> None:
        self._guide = guide
        self._eos_token_ids = eos_token_ids
        self._words = words
        self.error = ""

    @property
    def is_finished(self) -> bool:
        if not self._guide.is_finished():
            return False
        return set(self._guide.get_tokens()) <= set(self._eos_token_ids)

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        words = np.zeros(self._words, dtype=np.int32)
        self._guide.write_mask_into(words.ctypes.data, words.size, words.itemsize)
        if self._guide.is_finished():
            for token in self._eos_token_ids:
                words.view(np.uint32)[token >> 5] |= np.uint32(1 << (token & 31))
        shared = min(len(row), len(words))
        row[shared:] = 0
        row[:shared] = words[:shared]
        if not row.any():
            self.error = "the grammar cannot be completed from here"

    def allows(self, token: int) -> bool:
        if token in self._eos_token_ids:
            return bool(self._guide.is_finished())
        return bool(self._guide.accepts_tokens([token]))

    def accept(self, token: int) -> bool:
        if not self.allows(token):
            self.error = "the grammar does not allow the token"
            return False
        if token not in self._eos_token_ids:
            self._guide.advance(token, return_tokens=False)
        return True

    def forced_tokens(self) -> list[int]:
        """Nothing: automata over tokens do not tell which text is forced."""
        return []

    def rollback(self, count: int) -> None:
        self._guide.rollback_state(count)
