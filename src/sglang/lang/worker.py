"""Tasks that are done one after the other, beside the thread that hands them in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sglang.lang.errors import Failure


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
        self._tasks: deque[Task] = deque()
        self._is_busy = not is_open

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
            self.failure = failure
            self._start()

    def wait(self) -> None:
        """Return once everything submitted so far is done."""
        with self.changed:
            self.changed.wait_for(lambda: not self._is_busy)

    def _start(self) -> None:
        self._is_busy = bool(self._tasks)
        if self._is_busy:
            threading.Thread(target=self._work, name="sglang-program", daemon=True).start()
        else:
            self.changed.notify_all()

    def _work(self) -> None:
        while True:
            with self.changed:
                if not self._tasks:
                    self._is_busy = False
                    self.changed.notify_all()
                    return
                task = self._tasks.popleft()
            self._do(task)

    def _do(self, task: Task) -> None:
        if self.failure is None:
            try:
                task.work()
                return
            except Exception as error:
                self.failure = Failure(error, task.where)
        task.fail(self.failure)
