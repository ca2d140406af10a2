"""Grammars by XGrammar: pushdown automata with masks computed beforehand, while compiling.

https://github.com/mlc-ai/xgrammar
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.ebnf_checks import parse_ebnf
from sglang.srt.constrained.ebnf_text import to_text
from sglang.srt.constrained.grammar import GrammarSpec, Unsupported, preview
from sglang.srt.constrained.json_schema import ITEM_SEPARATOR, KEY_SEPARATOR, read_schema
from sglang.srt.constrained.plain_schema import beyond
from sglang.srt.constrained.regex import for_xgrammar
from sglang.srt.constrained.rehearsal import rehearse
from sglang.srt.constrained.vocabulary import token_bytes
from sglang.srt.tokenizer.tokenizer import Tokenizer

KEYWORDS = {
    "array": frozenset({"items", "minItems", "maxItems"}),
    "boolean": frozenset[str](),
    "integer": frozenset({"minimum", "maximum"}),
    "null": frozenset[str](),
    "number": frozenset[str](),
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "string": frozenset({"minLength", "maxLength"}),
}


class XGrammarBackend:
    """Implements ``grammar.Backend``; JSON is left to others if other white space is wanted."""

    name = "xgrammar"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        vocab_size: int,
        eos_token_ids: tuple[int, ...],
        takes_json: bool,
    ) -> None:
        import xgrammar

        self._lib: Any = xgrammar
        self._takes_json = takes_json
        self._tokenizer = tokenizer
        vocabulary = token_bytes(tokenizer)
        self._vocab_size = max(vocab_size, len(vocabulary))
        self._info = xgrammar.TokenizerInfo(
            vocabulary,
            vocab_type=xgrammar.VocabType.RAW,
            vocab_size=self._vocab_size,
            stop_token_ids=list(eos_token_ids),
        )
        self._compiler = xgrammar.GrammarCompiler(self._info, max_threads=1, cache_enabled=False)

    def prepare(self, spec: GrammarSpec) -> bytes:
        try:
            compiled = self._compile(spec)
        except RuntimeError as error:
            raise Unsupported(preview(str(error))) from None
        rehearse(self._grammar(compiled), self._vocab_size)
        return str(compiled.serialize_json()).encode()

    def load(self, prepared: bytes) -> XGrammarGrammar:
        return self._grammar(
            self._lib.CompiledGrammar.deserialize_json(prepared.decode(), self._info)
        )

    def _grammar(self, compiled: Any) -> XGrammarGrammar:
        return XGrammarGrammar(self._lib, compiled, self._tokenizer, self._vocab_size)

    def _compile(self, spec: GrammarSpec) -> Any:
        if spec.kind == "json_schema" and self._takes_json:
            schema = read_schema(spec.text)
            if (place := beyond(schema, KEYWORDS)) is not None:
                raise Unsupported(f"not enforced: {place}")
            return self._compiler.compile_json_schema(
                json.dumps(schema),
                any_whitespace=False,
                separators=(ITEM_SEPARATOR, KEY_SEPARATOR),
            )
        if spec.kind == "regex":
            return self._compiler.compile_regex(for_xgrammar(spec.text))
        if spec.kind == "ebnf":
            return self._compiler.compile_grammar(to_text(parse_ebnf(spec.text)))
        raise Unsupported(f"{spec.kind} is left to llguidance")


class XGrammarGrammar:
    """Implements ``grammar.CompiledGrammar``."""

    def __init__(self, lib: Any, compiled: Any, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._lib = lib
        self._compiled = compiled
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size

    def start(self) -> XGrammarState:
        matcher = self._lib.GrammarMatcher(self._compiled)
        words = self._lib.allocate_token_bitmask(1, self._vocab_size)
        return XGrammarState(matcher, words, self._tokenizer)


class XGrammarState:
    """Implements ``grammar.GrammarState``."""

    __slots__ = ("_is_finished", "_matcher", "_tokenizer", "_words", "error")

    def __init__(self, matcher: Any, words: Any, tokenizer: Tokenizer) -> None:
        self._matcher = matcher
        self._words = words
        """[1, ceil(V / 32)] int32, a tensor."""
        self._tokenizer = tokenizer
        self._is_finished = False
        self.error = ""

    @property
    def is_finished(self) -> bool:
        return self._is_finished

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        if self._matcher.fill_next_token_bitmask(self._words):
            words = self._words.numpy()[0]
        else:  # all may come
            words = np.full(self._words.shape[1], -1, dtype=np.int32)
        shared = min(len(row), len(words))
        row[shared:] = 0
        row[:shared] = words[:shared]
        if not row.any():
            self.error = "the grammar cannot be completed from here"

    def allows(self, token: int) -> bool:
        if not self._matcher.accept_token(token):
            return False
        self._matcher.rollback(1)
        return True

    def accept(self, token: int) -> bool:
        if not self._matcher.accept_token(token):
            self.error = "the grammar does not allow the token"
            return False
        if self._matcher.is_terminated():
            self._is_finished = True
        elif self._matcher.is_completed():
            self._is_finished = self._only_ends()
        return True

    def forced_tokens(self) -> list[int]:
        try:
            text = self._matcher.find_jump_forward_string()
        except UnicodeDecodeError:  # it begins inside of a character
            return []
        tokens = self._tokenizer.encode(text, add_special_tokens=False)
        # What follows might make another token of the last one.
        accepted = 0
        for token in tokens[:-1]:
            if not self._matcher.accept_token(token):
                break
            accepted += 1
        self._matcher.rollback(accepted)
        return tokens[:accepted]

    def rollback(self, count: int) -> None:
        self._matcher.rollback(count)
        self._is_finished = False

    def _only_ends(self) -> bool:
        """Whether nothing but an end-of-sequence token may follow."""
        self._matcher.fill_next_token_bitmask(self._words)
        bits = int(np.unpackbits(self._words.numpy().view(np.uint8)).sum())
        return bits <= len(self._matcher.stop_token_ids)
