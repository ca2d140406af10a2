"""The grammar backends by name."""

from __future__ import annotations

import msgspec

from sglang.srt.constrained.grammar import Backend, CompiledGrammar, GrammarSpec, Unsupported
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

DEFAULT = "llguidance"
"""Used where nothing else is asked for, and for what the one asked for cannot enforce."""

PACKAGES = {"llguidance": "llguidance", "xgrammar": "xgrammar", "outlines": "outlines-core"}


class BackendConfig(msgspec.Struct, frozen=True):
    """What it takes to make a backend, here or in a worker process."""

    name: str
    tokenizer_path: str
    tokenizer_mode: str
    trust_remote_code: bool
    vocab_size: int
    """Columns of the logits, which may be more or fewer than the tokenizer's tokens."""
    eos_token_ids: tuple[int, ...]
    whitespace: str | None
    """Regular expression of the white space inside of JSON; None for the usual separators."""


def make_backend(config: BackendConfig) -> Backend:
    """The backend ``config.name``.

    Raises:
        ImportError: its library is not installed.
        ValueError: the tokenizer cannot be read, or the library cannot use it.
    """
    tokenizer = load_tokenizer(
        config.tokenizer_path,
        mode=config.tokenizer_mode,
        trust_remote_code=config.trust_remote_code,
    )
    default = _llguidance(tokenizer, config)
    if config.name == DEFAULT:
        return default
    make = {"xgrammar": _xgrammar, "outlines": _outlines}[config.name]
    return WithFallback(make(tokenizer, config), default)


class WithFallback:
    """Implements ``Backend`` by two others: the second takes what the first does not support."""

    def __init__(self, first: Backend, second: Backend) -> None:
        self.name = first.name
        self.first = first
        self._second = second

    def prepare(self, spec: GrammarSpec) -> bytes:
        try:
            return b"\0" + self.first.prepare(spec)
        except Unsupported:
            return b"\1" + self._second.prepare(spec)

    def load(self, prepared: bytes) -> CompiledGrammar:
        return (self._second if prepared[0] else self.first).load(prepared[1:])


def _llguidance(tokenizer: Tokenizer, config: BackendConfig) -> Backend:
    from sglang.srt.constrained.llguidance_backend import LLGuidanceBackend

    return LLGuidanceBackend(
        tokenizer,
        vocab_size=config.vocab_size,
        eos_token_ids=config.eos_token_ids,
        whitespace=config.whitespace,
    )


def _xgrammar(tokenizer: Tokenizer, config: BackendConfig) -> Backend:
    from sglang.srt.constrained.xgrammar_backend import XGrammarBackend

    return XGrammarBackend(
        tokenizer,
        vocab_size=config.vocab_size,
        eos_token_ids=config.eos_token_ids,
        takes_json=config.whitespace is None,
    )


def _outlines(tokenizer: Tokenizer, config: BackendConfig) -> Backend:
    from sglang.srt.constrained.outlines_backend import OutlinesBackend

    return OutlinesBackend(
        tokenizer,
        vocab_size=config.vocab_size,
        eos_token_ids=config.eos_token_ids,
        whitespace=config.whitespace,
    )
