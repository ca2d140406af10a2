"""Sessions: requests that go on from the tokens of earlier ones, which the server remembers.

A session is a tree of turns. A turn is a request: what it kept of the sequence of its parent, its
own prompt, and its answer. A new request continues any turn that has ended, or begins a new branch.
The keys and values need no care here: the engine's prefix cache holds them for whoever comes with
the same tokens. When turns are dropped, it is told that nobody will.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sglang.srt.managers.errors import RequestError
from sglang.srt.managers.io_struct import ForgetPrefix
from sglang.srt.managers.request_batch import SessionParams
from sglang.srt.managers.request_state import SequenceState
from sglang.srt.mem_cache.radix_cache import common_prefix_length

MAX_SESSIONS = 1024
MAX_TURNS = 4096
"""Requests that one session remembers."""
MAX_CAPACITY = 1 << 24
"""Characters of one session."""
MAX_TOTAL_CAPACITY = 1 << 28
"""Characters of all sessions together."""
IDLE_SECONDS = 86400.0
"""Sessions that nobody used for so long are closed when another is opened."""

Ids = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class Turn:
    """One request of a session."""

    rid: str
    session: Session
    parent: Turn | None
    kept: int
    """How many tokens of the parent's sequence it begins with."""
    own: Ids
    """What follows: the prompt, and once the turn has ended, the answer."""
    chars: int
    """Characters of ``own``; tokens where there is no tokenizer."""
    replaced: list[Turn]
    """The turns that make way for this one."""
    state: SequenceState | None = None
    """While the request runs."""
    namespace: str = ""
    """Where the prefix cache has the sequence."""

    @property
    def length(self) -> int:
        """Tokens of the sequence of a turn that has ended."""
        return self.kept + len(self.own)

    def end_at(self, length: int) -> None:
        """Cut the sequence of a turn that has not begun, if it is longer."""
        self.kept = min(self.kept, length)
        self.own = self.own[: length - self.kept]

    def sequence(self) -> Ids:
        """All tokens, those of the answer so far included."""
        parts: list[Ids] = []
        turn: Turn | None = self
        length: int | None = None
        while turn is not None:
            own = turn.own
            if turn.state is not None:
                own = np.concatenate([own, np.array(turn.state.token_ids, dtype=np.int32)])
            parts.append(own if length is None else own[: max(length - turn.kept, 0)])
            length = turn.kept if length is None else min(length, turn.kept)
            turn = turn.parent
        return np.concatenate(parts[::-1])


@dataclass(slots=True)
class Session:
    """A tree of turns by the rid of their requests."""

    id: str
    capacity: int
    """Characters that its turns may have together when another is added."""
    turns: dict[str, Turn] = field(default_factory=dict)
    last_used: float = 0.0

    @property
    def chars(self) -> int:
        return sum(turn.chars for turn in self.turns.values())


class Sessions:
    """All sessions of a server."""

    def __init__(
        self, end: Callable[[SequenceState], None], forget: Callable[[ForgetPrefix], None]
    ) -> None:
        """``end`` stops a request that runs; ``forget`` tells the engine."""
        self._end = end
        self._forget = forget
        self._open: dict[str, Session] = {}

    def open(self, capacity: int, session_id: str | None = None) -> str:
        """A new session for ``capacity`` characters; returns its id, made up if none is given.

        Raises:
            RequestError: the id is in use, or there are too many sessions.
        """
        now = time.monotonic()
        for session in list(self._open.values()):
            if now - session.last_used > IDLE_SECONDS:
                self.close(session.id)
        if session_id in self._open:
            raise RequestError(f"session {session_id!r} is open already", param="session_id")
        reserved = sum(session.capacity for session in self._open.values())
        if len(self._open) >= MAX_SESSIONS or reserved + capacity > MAX_TOTAL_CAPACITY:
            raise RequestError(
                f"{len(self._open)} sessions with room for {reserved} characters are open; at most "
                f"{MAX_SESSIONS} for {MAX_TOTAL_CAPACITY} characters may be: close some",
                status=429,
                code="too_many_sessions",
            )
        session_id = session_id or uuid.uuid4().hex
        self._open[session_id] = Session(session_id, capacity, last_used=now)
        return session_id

    def close(self, session_id: str) -> None:
        """End what runs in a session, forget it, and free its keys and values.

        Raises:
            RequestError: there is no such session.
        """
        session = self._open.pop(session_id, None)
        if session is None:
            raise RequestError(f"there is no session {session_id!r}", param="session_id")
        self._drop(session, list(session.turns.values()), np.empty(0, dtype=np.int32))

    def plan(
        self,
        params: SessionParams,
        rids: list[str],
        ids: Ids,
        chars: int,
        bos_token_id: int | None,
    ) -> Turn:
        """The turn of a request with the prompt ``ids`` of ``chars`` characters.

        ``rids`` are those of its sequences, each of which gets a copy of the turn. Nothing is
        changed until :meth:`begin`, which has to follow before anything else happens.

        Raises:
            RequestError: session or request are unknown, the session is full, or the request to
                be continued still runs.
        """
        session = self._open.get(params.id)
        if session is None:
            raise RequestError(
                f"session_params.id: there is no session {params.id!r}", param="session_params"
            )
        parent = None if params.rid is None else _turn(session, params.rid)
        replaced = _replaced(session, params, parent)
        left = session.chars - sum(turn.chars for turn in replaced)
        if left + chars > session.capacity:
            raise RequestError(
                f"session {session.id!r} has {left} characters, and the prompt {chars}; its "
                f"capacity_of_str_len is {session.capacity}",
                param="session_params",
            )
        if len(session.turns) - len(replaced) >= MAX_TURNS:
            raise RequestError(
                f"session {session.id!r} has {len(session.turns)} requests of at most {MAX_TURNS}",
                param="session_params",
            )
        staying = session.turns.keys() - {turn.rid for turn in replaced}
        for rid in rids:
            if rid in staying:
                raise RequestError(
                    f"session {session.id!r} has a request {rid!r} already", param="rid"
                )
        kept = 0
        if parent is not None:
            kept = _kept(len(parent.sequence()), params.offset)
            # A text in the middle has none.
            if kept and len(ids) > 1 and int(ids[0]) == bos_token_id:
                ids = ids[1:]
        return Turn(rids[0], session, parent, kept, ids, chars, replaced)

    def begin(self, states: Iterable[SequenceState]) -> None:
        """The requests are on their way: their turns exist from now on."""
        for state in states:
            turn = state.turn
            if turn is None:
                continue
            self._drop(turn.session, turn.replaced, turn.sequence())
            if turn.parent is not None and turn.parent.state is not None:
                self._end(turn.parent.state)
            turn.replaced.clear()  # for all copies of the turn
            turn.state, turn.namespace = state, state.message.cache_namespace
            turn.session.turns[state.rid] = turn
            turn.session.last_used = time.monotonic()

    def ended(self, state: SequenceState) -> None:
        """A request has its answer, which belongs to the session from now on."""
        turn = state.turn
        if turn is not None and turn.state is state:
            turn.own = np.concatenate([turn.own, np.array(state.token_ids, dtype=np.int32)])
            turn.chars += len(state.text) if state.detokenizer else len(state.token_ids)
            turn.state = None

    def _drop(self, session: Session, turns: list[Turn], successor: Ids) -> None:
        """End ``turns``, which nothing else goes on from, and have their KV freed.

        What they have in common with ``successor`` stays.
        """
        for turn in turns:
            if turn.state is not None:
                self._end(turn.state)
            session.turns.pop(turn.rid, None)
        # The KV of the last token is never computed, unless another turn goes on from it.
        covered = {
            id(turn.parent)
            for turn in turns
            if turn.parent is not None
            and turn.kept >= turn.parent.length - 1
            and turn.namespace == turn.parent.namespace
        }
        for turn in reversed(turns):
            if id(turn) not in covered:
                ids = turn.sequence()
                keep = common_prefix_length(ids, successor)
                raw = ids.astype("<i4", copy=False).tobytes()
                self._forget(ForgetPrefix(raw, turn.namespace, keep))


def _turn(session: Session, rid: str) -> Turn:
    if rid not in session.turns:
        raise RequestError(
            f"session_params.rid: session {session.id!r} has no request {rid!r}",
            param="session_params",
        )
    return session.turns[rid]


def _replaced(session: Session, params: SessionParams, parent: Turn | None) -> list[Turn]:
    """The turns that go: all, or those that continue ``parent``; children after their parents."""
    if not params.replace:
        if parent is not None and parent.state is not None:
            raise RequestError(
                f"session_params.rid: request {params.rid!r} still runs", param="session_params"
            )
        return []
    if parent is None:
        return list(session.turns.values())
    below: list[Turn] = []
    family = {id(parent)}
    for turn in session.turns.values():  # in the order in which they came
        if turn.parent is not None and id(turn.parent) in family:
            family.add(id(turn))
            below.append(turn)
    return below


def _kept(length: int, offset: int | None) -> int:
    """Tokens to keep of ``length``: all, the first ``offset``, or all but the last ``-offset``."""
    if not offset:
        return length
    if not -length <= offset <= length:
        raise RequestError(
            f"session_params.offset is {offset}; the request has {length} tokens",
            param="session_params",
        )
    return offset if offset > 0 else length + offset
