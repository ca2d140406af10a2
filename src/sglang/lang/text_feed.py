"""A text that grows: written by one thread, read by any number of threads and event loops."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from sglang.lang.errors import Failure


class TextFeed:
    """Pieces of text as they come, until the text is finished or will never be."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._pieces: list[str] = []
        self._finished = False
        self._changed = threading.Condition()
        self._listeners: list[Callable[[], object]] = []

    def append(self, piece: str) -> None:
        """Go on with a piece; an empty one is none."""
        if piece:
            with self._changed:
                self._pieces.append(piece)
                self._notify()

    def finish(self, failure: Failure | None = None) -> None:
        """Say that nothing follows; with a failure, that something is missing."""
        with self._changed:
            if not self._finished:
                self._finished, self.failure = True, failure
                self._notify()

    @property
    def is_finished(self) -> bool:
        return self._finished

    def wait(self) -> str:
        """The whole text, once it is finished.

        Raises:
            ProgramError: it failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._finished)
        self._check()
        return "".join(self._pieces)

    def pieces(self) -> Iterator[str]:
        """Each piece, as soon as it is there.

        Raises:
            ProgramError: the text failed; after the pieces that there were.
        """
        position = 0
        while True:
            with self._changed:
                while not self._finished and len(self._pieces) == position:
                    self._changed.wait()
                new, finished = self._pieces[position:], self._finished
            position += len(new)
            yield from new
            if finished:
                self._check()
                return

    async def async_pieces(self) -> AsyncIterator[str]:
        """:meth:`pieces` for an event loop."""
        position = 0
        changed = asyncio.Event()
        listener = partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
        with self._changed:
            self._listeners.append(listener)
        try:
            while True:
                changed.clear()
                with self._changed:
                    new, finished = self._pieces[position:], self._finished
                position += len(new)
                for piece in new:
                    yield piece
                if finished:
                    self._check()
                    return
                await changed.wait()
        finally:
            with self._changed:
                self._listeners.remove(listener)

    def _notify(self) -> None:
        self._changed.notify_all()
        for listener in self._listeners:
            with contextlib.suppress(RuntimeError):  # its event loop is closed
                listener()

    def _check(self) -> None:
        if self.failure is not None:
            self.failure.throw()
