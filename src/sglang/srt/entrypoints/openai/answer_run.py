"""A request at work, as the one sees it who writes its answer in some API's form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from sglang.srt.entrypoints.errors import renamed
from sglang.srt.managers.request_state import RequestGroup, SequenceState
from sglang.srt.managers.tokenizer_manager import TokenizerManager
from sglang.srt.sampling.sampling_params import GRAMMAR_KINDS


@dataclass(frozen=True)
class TokenCounts:
    """What a request has read and written, in tokens."""

    prompt: int
    """A prompt counts once, however many answers it has."""
    cached: int
    """Those of the prompt that were taken from the prefix cache."""
    completion: int
    reasoning: int | None
    """Those of the completion; None where reasoning is not told from the rest."""


class AnswerRun:
    """The sequences of a request until they have ended or nobody waits for them."""

    def __init__(
        self,
        manager: TokenizerManager,
        group: RequestGroup,
        names: Mapping[str, str],
        *,
        n: int = 1,
    ) -> None:
        """
        Args:
            manager: Runs the sequences.
            group: The sequences.
            names: Our names of parameters -> those that the client used, for errors.
            n: Sequences to a prompt.
        """
        self.group = group
        self._manager = manager
        self._names = names
        self._n = n
        self.count_reasoning_tokens: Callable[[SequenceState], int] | None = None
        """Set where reasoning is told from the rest."""

    async def finished(self) -> list[SequenceState]:
        """The sequences, once all of them have ended.

        Raises:
            RequestError: one of them failed.
        """
        try:
            await self.group.wait()
        finally:
            self._manager.drop(self.group)
        for state in self.group.states:
            self._raise_failure(state)
        return self.group.states

    async def changes(self) -> AsyncGenerator[SequenceState, None]:
        """Each sequence whenever it has changed. Leaving the iterator early stops the request.

        A state goes on changing, so it is to be read before anything is awaited.

        Raises:
            RequestError: a sequence failed.
        """
        try:
            while (state := await self.group.next_change()) is not None:
                self._raise_failure(state)
                yield state
        finally:
            self._manager.drop(self.group)

    async def patient_changes(self, seconds: float) -> AsyncGenerator[SequenceState | None, None]:
        """:meth:`changes` of the only sequence; until the first, None every so many seconds."""
        async with aclosing(self.changes()) as changes:
            first = asyncio.ensure_future(_next(changes))
            try:
                while not (await asyncio.wait({first}, timeout=seconds))[0]:
                    yield None
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
            state = first.result()
            while state is not None:
                # It may have ended since it was waked for, and is to be seen at its end once.
                is_over = state.finish is not None
                yield state
                state = None if is_over else await _next(changes)

    def counts(self) -> TokenCounts:
        """So far, or in all once the sequences have ended."""
        states = self.group.states
        count = self.count_reasoning_tokens
        return TokenCounts(
            prompt=sum(len(state.prompt_ids) for state in states[:: self._n]),
            cached=sum(state.cached_tokens for state in states[:: self._n]),
            completion=sum(len(state.token_ids) for state in states),
            reasoning=None if count is None else sum(map(count, states)),
        )

    def _raise_failure(self, state: SequenceState) -> None:
        """What the engine says about a grammar is about the field that asked for it."""
        if state.failure is None:
            return
        error = renamed(state.failure, self._names)
        field = error.message.partition(":")[0]
        if error.status == 400 and field in (*GRAMMAR_KINDS, *self._names.values()):
            error.param = field
        raise error


async def _next(changes: AsyncGenerator[SequenceState, None]) -> SequenceState | None:
    return await anext(changes, None)
