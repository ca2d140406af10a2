"""What a grammar is to the rest of the runtime, whichever library enforces it.

A :class:`GrammarSpec` is what the user asked for. A :class:`Backend` makes something of it in two
steps: ``prepare`` parses and tries it, in a worker process that may take long or die;
``load`` builds the :class:`CompiledGrammar` from the result, in the engine. Each request then
walks through the grammar with a :class:`GrammarState` of its own.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS, SamplingParams


class GrammarError(ValueError):
    """A grammar that cannot be used; the message says what and where."""


class Unsupported(GrammarError):
    """A grammar that is fine, but asks for more than this backend can enforce."""


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """A constraint as the user wrote it: the key under which compiled grammars are kept."""

    kind: str
    """One of ``GRAMMAR_KINDS``."""
    text: str

    @classmethod
    def of(cls, params: SamplingParams) -> GrammarSpec | None:
        """The one that ``params`` ask for, if any."""
        for kind in GRAMMAR_KINDS:
            text = getattr(params, kind)
            if text is not None:
                return cls(kind, text)
        return None


class GrammarState(Protocol):
    """Where one request is in its grammar. Not thread-safe."""

    @property
    def error(self) -> str:
        """Why the grammar cannot go on, empty while it can."""
        ...

    @property
    def is_finished(self) -> bool:
        """The output is complete and nothing can follow it."""
        ...

    def fill_mask(self, row: NDArray[np.int32]) -> None:
        """Set bit ``i % 32`` of ``row[i // 32]`` exactly if token i may come next.

        ``row`` is contiguous, [ceil(V / 32)]. The end-of-sequence tokens may come when the output
        is complete. If the grammar cannot go on, no bit is set and ``error`` says why.
        """
        ...

    def allows(self, token: int) -> bool:
        """Whether ``token`` may come next: what its bit in the mask says, without the others."""
        ...

    def accept(self, token: int) -> bool:
        """Go on by ``token``; False, with ``error`` set, if the grammar does not allow it."""
        ...

    def forced_tokens(self) -> list[int]:
        """Tokens that spell what must come next anyway; the state stays where it is."""
        ...

    def rollback(self, count: int) -> None:
        """Go back by the last ``count`` accepted tokens."""
        ...


class CompiledGrammar(Protocol):
    """A grammar ready for use, shared by all requests that ask for it."""

    def start(self) -> GrammarState:
        """The state before the first token."""
        ...


class Backend(Protocol):
    """A library that enforces grammars over one vocabulary."""

    name: str

    def prepare(self, spec: GrammarSpec) -> bytes:
        """Check ``spec`` and translate it into what ``load`` takes.

        Called in a worker process with limits on time and memory.

        Raises:
            GrammarError: it is malformed, describes nothing, or is too complex.
            Unsupported: this backend cannot enforce all of it.
        """
        ...

    def load(self, prepared: bytes) -> CompiledGrammar:
        """The grammar that ``prepare`` has found good. Called in a thread of the engine."""
        ...


class GrammarSource(Protocol):
    """Where the scheduler gets its grammars from."""

    def get(self, spec: GrammarSpec) -> Future[CompiledGrammar]:
        """The grammar, now or later; a GrammarError where there is none."""
        ...


class NoGrammars:
    """Implements :class:`GrammarSource` for an engine without any."""

    def get(self, spec: GrammarSpec) -> Future[CompiledGrammar]:
        refused: Future[CompiledGrammar] = Future()
        refused.set_exception(GrammarError("this engine has no grammar backend"))
        return refused


def preview(text: str, limit: int = 300) -> str:
    """A message of a library, cut to a length that fits into an answer."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit] + " ..."
