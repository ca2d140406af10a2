"""Random walks through grammars, as a model without a mind would take them."""

from __future__ import annotations

import importlib.util
import random
from functools import cache
from pathlib import Path

import numpy as np

import sglang.demo_model
from sglang.srt.constrained.backends import PACKAGES, BackendConfig, make_backend
from sglang.srt.constrained.grammar import Backend, GrammarSpec, GrammarState
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

FOLDER = str(Path(sglang.demo_model.__file__).parent)
VOCAB = 4096
EOS = (2, 0)
ENDINGS = ('"', "}", "]", ")", "\n")

NAMES = [
    name
    for name, package in PACKAGES.items()
    if importlib.util.find_spec(package.replace("-", "_"))
]
"""The backends that are installed."""


def config(name: str = "llguidance", whitespace: str | None = None) -> BackendConfig:
    return BackendConfig(name, FOLDER, "auto", False, VOCAB, EOS, whitespace)


@cache
def backend(name: str = "llguidance", whitespace: str | None = None) -> Backend:
    return make_backend(config(name, whitespace))


@cache
def tokenizer() -> Tokenizer:
    return load_tokenizer(FOLDER)


def start(kind: str, text: str, name: str = "llguidance", ws: str | None = None) -> GrammarState:
    """The first state of a grammar that went the way through worker and engine."""
    return backend(name, ws).load(backend(name, ws).prepare(GrammarSpec(kind, text))).start()


def allowed(state: GrammarState) -> list[int]:
    row = np.empty((VOCAB + 31) // 32, dtype=np.int32)
    state.fill_mask(row)
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def walk(state: GrammarState, seed: int, *, jump: bool = True, steps: int = 300) -> str | None:
    """A text of the grammar, or None if it did not come to its end in time.

    Checks on the way that the ways of asking about a token agree.
    """
    choose = random.Random(seed)
    tokens: list[int] = []
    for _ in range(steps):
        if state.is_finished:
            return text(tokens)
        if jump and (forced := state.forced_tokens()):
            for token in forced:
                assert state.accept(token)
            tokens += forced
            continue
        options = allowed(state)
        assert options and not state.error
        assert all(state.allows(token) for token in choose.sample(options, min(3, len(options))))
        assert not any(state.allows(token) for token in missing(options, choose))
        if set(options) & set(EOS) and choose.random() < 0.5:
            return text(tokens)
        token = pick(options, choose)
        assert state.accept(token)
        tokens.append(token)
    return None


def missing(options: list[int], choose: random.Random) -> list[int]:
    """Some tokens that cannot be right: others than the ones allowed, though not spelled alike."""
    if len(options) < 8:  # a mask may hold just one spelling of a text that is forced
        return []
    return [token for token in choose.sample(range(VOCAB), 3) if token not in options]


def pick(options: list[int], choose: random.Random) -> int:
    """Any token, but often one that brings the text towards its end."""
    options = [token for token in options if token not in EOS]
    if choose.random() < 0.5:
        ends = [t for t in options if tokenizer().decode([t]).strip().startswith(ENDINGS)]
        options = ends or options
    return choose.choice(options)


def text(tokens: list[int]) -> str:
    return tokenizer().decode(tokens, skip_special_tokens=False)
