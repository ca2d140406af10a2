"""Tasks that are done one after the other, beside the thread that hands them in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sglang.lang.errors import Failure

LINGER_S = 0.05
"""How long a thread without work waits for more: a program that has got one value soon asks for the
next, and to wake a thread costs less than to start one."""


def _nothing(failure: Failure) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Task:
    """Work, and what happens instead when a task before it or itself has failed."""

    work: Callable[[], None]
    where: str
    """The place in the program that it comes from, for people."""
    is_quick: bool = False
    """Never waits for anything."""
    fail: Callable[[Failure], None] = _nothing


class Worker:
    """Does tasks in order. After the first that fails, the others fail in the same way.

    A quick task is done right where it is submitted if no other is before it; everything else is
    done by a thread, which lives as long as there is work.
    """

    def __init__(self, is_open: bool = True) -> None:
        self.changed = threading.Condition()
        """Its lock is held while a task is taken and while a quick one is done at once."""
        self.failure: Failure | None = None
        self.forks: list[Worker] = []
        """Those that are cancelled with this one."""
        self._tasks: deque[Task] = deque()
        self._current: Task | None = None
        self._end: Callable[[], None] | None = None
        self._is_open = is_open
        self._is_busy = not is_open
        self._has_thread = False

    @property
    def is_busy(self) -> bool:
        """Whether there is something that is not done."""
        return self._is_busy

    def submit(self, task: Task) -> None:
        """Do ``task`` after those before it."""
        with self.changed:
            if self._is_busy:
                self._tasks.append(task)
            elif task.is_quick:
                self._do(task)
            else:
                self._tasks.append(task)
                self._start()

    def open(self, failure: Failure | None = None) -> None:
        """Begin with what has been submitted to a worker that was not open."""
        with self.changed:
            if not self._is_open:
                self._is_open = True
                self.failure = self.failure or failure
                self._start()

    def wait(self) -> None:
        """Return once everything submitted so far is done."""
        with self.changed:
            self.changed.wait_for(lambda: not self._is_busy)

    def cancel(self, failure: Failure) -> None:
        """Fail what is not done yet, here and in the forks, and end what can be ended."""
        with self.changed:
            self.failure = self.failure or failure
            undone = [self._current] if self._current is not None else []
            undone += self._tasks
            self._tasks.clear()
            end = self._end
        for task in undone:
            task.fail(self.failure)
        if end is not None:
            end()
        for fork in self.forks:
            fork.cancel(failure)

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Within it, in a task: :meth:`cancel` calls ``end``, in whatever thread it is called."""
        with self.changed:
            self._end = end
        try:
            if self.failure is not None:
                end()
            yield
        finally:
            self._end = None

    def _start(self) -> None:
        self._is_busy = bool(self._tasks)
        if self._is_busy and not self._has_thread:
            self._has_thread = True
            threading.Thread(target=self._work, name="sglang-program", daemon=True).start()
        else:
            self.changed.notify_all()

    def _work(self) -> None:
        while True:
            with self.changed:
                self._current = None
                if not self._tasks:
                    self._is_busy = False
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self._tasks, LINGER_S)
                    if not self._tasks:
                        self._has_thread = False
                        return
                task = self._current = self._tasks.popleft()
            self._do(task)

    def _do(self, task: Task) -> None:
        if self.failure is None:
            try:
                task.work()
                return
            except Exception as error:
                self.failure = self.failure or Failure(error, task.where)
        task.fail(self.failure)
