"""Grammars by llguidance: an Earley parser over derivatives of regular expressions.

Masks are computed when they are needed, from the byte trie of the vocabulary, so that a grammar is
ready within milliseconds. https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sglang.srt.constrained.ebnf_checks import parse_ebnf
from sglang.srt.constrained.ebnf_lark import to_lark
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec, preview
from sglang.srt.constrained.json_schema import (
    ITEM_SEPARATOR,
    KEY_SEPARATOR,
    Pointer,
    places,
    read_schema,
    subschemas,
)
from sglang.srt.constrained.regex import for_rust
from sglang.srt.constrained.rehearsal import rehearse
from sglang.srt.constrained.structural_tag import StructuralTag, parse_structural_tag, tags_to_lark
from sglang.srt.constrained.vocabulary import token_bytes
from sglang.srt.tokenizer.tokenizer import Tokenizer

STRING_SLICES = (3, 6, 9, 12, 20)
"""Lengths of text for which the tokens inside a JSON string are known beforehand."""

MAX_TRIED_PARTS = 100
"""Of a schema that is refused, to find the place."""

LIMITS: dict[str, Any] = {
    "max_items_in_row": 10_000,
    "max_lexer_states": 50_000,  # some 100 MB
    "verbose_errors": False,
}


class LLGuidanceBackend:
    """Implements ``grammar.Backend``; ``whitespace`` is the regular expression of the white space
    allowed between the parts of a JSON document, None for the usual separators alone."""

    name = "llguidance"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        vocab_size: int,
        eos_token_ids: tuple[int, ...],
        whitespace: str | None,
    ) -> None:
        import llguidance

        self._lib: Any = llguidance
        self._eos_token_ids = eos_token_ids
        self._json_options = (
            {"whitespace_flexible": True, "whitespace_pattern": whitespace}
            if whitespace is not None
            else {
                "whitespace_flexible": False,
                "item_separator": ITEM_SEPARATOR,
                "key_separator": KEY_SEPARATOR,
            }
        )
        known = max(tokenizer.backend.get_vocab().values()) + 1
        self._tokenizer = llguidance.LLTokenizer(
            _definition(tokenizer, eos_token_ids),
            n_vocab=max(vocab_size, known),
            eos_token=list(eos_token_ids),
            slices=_slices(),
        )
        added = tokenizer.backend.added_tokens()
        self._specials = {
            text: i for i, text in added.items() if self._tokenizer.is_special_token(i)
        }
        self._limits = llguidance.LLParserLimits(**LIMITS)

    def prepare(self, spec: GrammarSpec) -> bytes:
        schema = read_schema(spec.text) if spec.kind == "json_schema" else None
        text = self._translate(spec, schema)
        try:
            rehearse(self._compile(text), self._tokenizer.vocab_size)
        except GrammarError as error:
            if spec.kind == "structural_tag":
                self._check_structures(parse_structural_tag(spec.text))
            raise GrammarError(str(error) + self._where(schema, str(error))) from None
        return text.encode()

    def _check_structures(self, tag: StructuralTag) -> None:
        """Raise a GrammarError about the first structure whose schema is not enforced."""
        for i, structure in enumerate(tag.structures):
            try:
                self._compile(self._json_grammar(structure.schema))
            except GrammarError as error:
                problem = str(error) + self._where(structure.schema, str(error))
                raise GrammarError(f"structures[{i}].schema: {problem}") from None

    def load(self, prepared: bytes) -> LLGuidanceGrammar:
        return self._compile(prepared.decode())

    def _compile(self, text: str) -> LLGuidanceGrammar:
        matcher = self._lib.LLMatcher(self._tokenizer, text, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise GrammarError(_explain(matcher.get_error()))
        return LLGuidanceGrammar(matcher, self._tokenizer.vocab_size)

    def _where(self, schema: dict[str, Any] | None, problem: str) -> str:
        """The place in a schema where the problem is, as an addition to its message."""
        if schema is None:
            return ""
        named = re.findall(r"[\"'](\w+)[\"']|\b(oneOf)\b", problem)
        keywords = dict.fromkeys(quoted or plain for quoted, plain in named)
        found = [place for keyword in keywords for place in places(schema, keyword)]
        found = found or [place for place in self._alike(schema, problem) if place]
        return f" (at {', '.join(found[:3])})" if found else ""

    def _alike(self, schema: dict[str, Any], problem: str) -> Iterator[Pointer]:
        """The innermost part of a schema that has the same problem by itself."""
        names = schema.keys() & {"$defs", "definitions"}
        definitions: dict[str, Any] = {name: schema[name] for name in names}
        for pointer, part in reversed(list(islice(subschemas(schema), MAX_TRIED_PARTS))):
            try:
                self._compile(self._json_grammar({**definitions, **part}))
            except GrammarError as error:
                if str(error) == problem:
                    yield pointer
                    return

    def _json_grammar(self, schema: dict[str, Any]) -> str:
        make: Any = self._lib.LLMatcher.grammar_from_json_schema
        return str(make(schema, overrides=self._json_options))

    def _translate(self, spec: GrammarSpec, schema: dict[str, Any] | None) -> str:
        """The grammar in llguidance's own format; ``schema`` is that of a JSON schema."""
        make: Any = self._lib.LLMatcher
        if schema is not None:
            return self._json_grammar(schema)
        if spec.kind == "regex":
            return str(make.grammar_from_regex(for_rust(spec.text)))
        if spec.kind == "ebnf":
            return to_lark(parse_ebnf(spec.text))
        tag = parse_structural_tag(spec.text)
        return tags_to_lark(tag, self._specials, self._json_options, self._eos_token_ids)


class LLGuidanceGrammar:
    """Implements ``grammar.CompiledGrammar``."""

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def start(self) -> LLGuidanceState:
        return LLGuidanceState(self._matcher.deep_copy(), self._vocab_size)


class LLGuidanceState:
    """Implements ``grammar.GrammarState``."""

    __slots__ = ("_matcher", "_words", "error")

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        self._matcher = matcher
        self._words = (vocab_size + 31) // 32
        self.error = ""

    @property
    def is_finished(self) -> bool:
        return bool(self._matcher.is_stopped()) and not self.error

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        if len(row) == self._words:
            self._fill(row)
            return
        # The model scores more or fewer tokens than the tokenizer has.
        whole = np.zeros(self._words, dtype=np.int32)
        self._fill(whole)
        row[:] = 0
        shared = min(len(row), self._words)
        row[:shared] = whole[:shared]

    def allows(self, token: int) -> bool:
        return bool(self._matcher.validate_tokens([token]) == 1)

    def accept(self, token: int) -> bool:
        if self._matcher.consume_token(token):
            return True
        self._note_error()
        return False

    def forced_tokens(self) -> list[int]:
        if self.error:
            return []
        tokens: list[int] = self._matcher.compute_ff_tokens()
        return tokens

    def rollback(self, count: int) -> None:
        self._matcher.rollback(count)

    def _fill(self, row: NDArray[np.int32]) -> None:
        address = row.__array_interface__["data"][0]
        self._matcher.unsafe_compute_mask_ptr(address, row.nbytes)
        if self._matcher.is_error():
            row[:] = 0
            self._note_error()
        elif not row.any():
            self.error = "the grammar cannot be completed from here"

    def _note_error(self) -> None:
        reason = preview(self._matcher.get_error().replace("<non-verbose/>", ""))
        self.error = f"the grammar cannot go on: {reason or 'the token is not allowed'}"


def _definition(tokenizer: Tokenizer, eos_token_ids: tuple[int, ...]) -> Any:
    """The tokenizer as llguidance takes it: its JSON, or else the bytes of its tokens."""
    text = tokenizer.backend.to_json()
    if text is not None:
        return text
    from llguidance import TokenizerWrapper

    return TokenizerWrapper(_PlainTokenizer(tokenizer, eos_token_ids))


class _PlainTokenizer:
    """A tokenizer that is code rather than data, under the names that llguidance reads."""

    def __init__(self, tokenizer: Tokenizer, eos_token_ids: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = eos_token_ids[0] if eos_token_ids else 0
        self.bos_token_id = None
        self.special_token_ids = sorted(tokenizer.backend.special_ids())
        self.tokens = token_bytes(tokenizer)

    def __call__(self, text: bytes | str) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode()
        return self._tokenizer.encode(text, add_special_tokens=False)


def _slices() -> list[str]:
    char = r'[^"\\\x00-\x1F\x7F]'
    return [r"[\x20\x0A\x0D\x09]+", *(f"{char}{{1,{n}}}" for n in STRING_SLICES), f"{char}+"]


_REGEX_ERROR = re.compile(r"regex parse error:\n +(.*)\n( +)\^+\n?error: ([^\n]+)")


def _explain(message: str) -> str:
    """A message of the library, without its drawings."""
    if found := _REGEX_ERROR.search(message):
        pattern, indent, problem = found.groups()
        return f"{problem} (character {len(indent) - 4} of {preview(pattern, 100)})"
    return preview(re.sub(r"^at \d+\(\d+\): ", "", message).split("\n")[0])
