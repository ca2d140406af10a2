"""Carries out a program: its expressions, one after the other, against a backend.

A program's body runs in the thread of its caller and only hands expressions in. What takes time,
above all generating, is done by the state's worker meanwhile; whoever wants a value waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from sglang.lang import ir
from sglang.lang.conversation import Conversation, Message
from sglang.lang.errors import Cancelled, Failure
from sglang.lang.speculation import Speculator
from sglang.lang.steps import Run, Setting, task_for
from sglang.lang.text_feed import TextFeed
from sglang.lang.transcript import Transcript
from sglang.lang.variable import Variable
from sglang.lang.worker import Task, Worker

WORTH_CACHING = 64
"""Characters of a common prefix from which on it is sent ahead: some 16 tokens."""


class Interpreter:
    """The state of one program, or of one of its forks."""

    def __init__(self, run: Run, is_open: bool = True) -> None:
        self.variables: dict[str, Variable] = {}
        self._transcript = Transcript(Conversation(run.backend.chat_template))
        self._worker = Worker(is_open)
        ahead = run.num_api_spec_tokens
        self._setting = Setting(
            run,
            Speculator(run.backend, ahead) if ahead else None,
            self._transcript,
            self._declare,
            self._worker.ended_by,
        )
        self._body: threading.Thread | None = None
        self._readers = 0

    # ---- what a program does

    def submit(self, value: ir.Expr | str, where: str) -> None:
        """Go on with an expression; returns before it is carried out."""
        if self._setting.speculator is None:
            for expr in ir.flatten(value):
                self._worker.submit(task_for(expr, self._setting, where))
            return
        exprs = list(ir.flatten(value))
        for index, expr in enumerate(exprs):
            ahead = takewhile(lambda e: not isinstance(e, ir.RoleEnd), exprs[index + 1 :])
            self._worker.submit(task_for(expr, self._setting, where, tuple(ahead)))

    def set(self, name: str, value: Any) -> None:
        """Keep a value under a name."""
        self._declare(name).finish(value)

    def fork(self, count: int, where: str) -> list[Interpreter]:
        """States that go on from here, each by itself; they start when this one gets here."""
        children = [Interpreter(self._setting.run, is_open=False) for _ in range(count)]
        for child in children:
            child.variables = dict(self.variables)
            self._worker.forks.append(child._worker)

        def start() -> None:
            if count > 1:
                self._send_ahead()
            for child in children:
                child._transcript.go_on_from(self._transcript.conversation.copy())
                child._worker.open()

        def fail(failure: Failure) -> None:
            for child in children:
                child._worker.open(failure)

        self._worker.submit(Task(start, where, is_quick=count == 1, fail=fail))
        return children

    def append_rest(self, child: Interpreter, where: str) -> None:
        """Go on with the text that ``child`` has added since it was forked."""

        def work() -> None:
            text = child.text()
            self._transcript.write(text[child._transcript.conversation.forked_at :])

        self._worker.submit(Task(work, where))

    # ---- what others want to know

    def value(self, name: str) -> Any:
        """The value of a variable, once it is there.

        Raises:
            KeyError: there is no such variable.
            ProgramError: the program has failed before it was there.
        """
        return self.variable(name).value()

    def variable(self, name: str) -> Variable:
        """The variable of that name; of a program that still runs, as soon as there is one.

        Raises:
            KeyError: there is none.
            ProgramError: there is none, because the program failed.
        """
        changed = self._worker.changed
        with changed:
            changed.wait_for(lambda: name in self.variables or not self._body_runs_elsewhere())
        if name not in self.variables:
            self._check()
            known = ", ".join(map(repr, self.variables)) or "none at all"
            raise KeyError(f"the program has no variable {name!r} so far; it has {known}")
        return self.variables[name]

    def text(self) -> str:
        """The whole text, once it is there.

        Raises:
            ProgramError: something in it failed.
        """
        self.settle()
        self._check()
        return self._transcript.conversation.text

    def messages(self) -> list[Message]:
        """The turns that are over, once everything is there.

        Raises:
            ProgramError: something failed.
        """
        self.settle()
        self._check()
        return [dict(message) for message in self._transcript.conversation.messages]

    def error(self) -> Exception | None:
        """What went wrong, if anything did; waits for the program to be done."""
        self.settle()
        return self._worker.failure.cause if self._worker.failure is not None else None

    def settle(self) -> None:
        """Wait until everything is done; outside of the body that includes the body."""
        body = self._body
        if body is not None and body is not threading.current_thread():
            body.join()
        self._worker.wait()

    def tap(self) -> TextFeed:
        """The text so far and what follows: until the body ends, or what is submitted by now.

        To be given back with :meth:`untap`.
        """
        with self._worker.changed:
            feed = self._transcript.tap()
            if not self._body_runs_elsewhere():
                self._end(feed)
        return feed

    def untap(self, feed: TextFeed) -> None:
        """Nobody reads ``feed`` any more."""
        self._transcript.untap(feed)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For those who follow a program that streams: the last one to leave early cancels it.

        The body of the program itself may leave as it likes.
        """
        with self._worker.changed:
            self._readers += 1
        is_early = False
        try:
            yield
        except Exception:
            raise
        except BaseException:  # the reader is closed, its task cancelled, Ctrl-C
            is_early = True
            raise
        finally:
            with self._worker.changed:
                self._readers -= 1
                is_last = self._readers == 0
            is_outside = threading.current_thread() is not self._body
            if is_early and is_last and is_outside and self._setting.run.stream:
                self.cancel("stopped by its reader")

    def cancel(self, where: str) -> None:
        """Fail what is not done yet, here and in the forks, and let the backend know."""
        if self._body_runs_elsewhere() or self._worker.is_busy:
            self._worker.cancel(Failure(Cancelled("the program was cancelled"), where))

    # ---- the body

    def run_body(self, body: Callable[[], object], where: str) -> None:
        """Run the body of the program; an error of it becomes the program's."""
        try:
            body()
        except Exception as error:
            self._worker.submit(_failing(error, where))

    def run_body_beside(self, body: Callable[[], object], where: str) -> None:
        """:meth:`run_body` in a thread of its own; returns at once."""

        def run() -> None:
            self.run_body(body, where)
            with self._worker.changed:
                self._body = None
                for feed in self._transcript.taps():
                    self._end(feed)
                self._worker.changed.notify_all()

        self._body = threading.Thread(target=run, name="sglang-body", daemon=True)
        self._body.start()

    def _body_runs_elsewhere(self) -> bool:
        return self._body is not None and self._body is not threading.current_thread()

    # ---- helpers

    def _declare(self, name: str | None) -> Variable:
        variable = Variable()
        if name is not None:
            with self._worker.changed:
                self.variables[name] = variable
                self._worker.changed.notify_all()
        return variable

    def _end(self, feed: TextFeed) -> None:
        """Finish ``feed`` after what has been submitted so far."""
        self._worker.submit(Task(feed.finish, "", is_quick=True, fail=feed.finish))

    def _send_ahead(self) -> None:
        """Let the backend have what several forks are about to begin with."""
        talk = self._transcript.conversation
        if len(talk.text) - talk.known >= WORTH_CACHING:
            self._setting.run.backend.cache_prefix(talk.prompt())
            talk.mark_known()

    def _check(self) -> None:
        if self._worker.failure is not None:
            self._worker.failure.throw()


def _failing(error: Exception, where: str) -> Task:
    def work() -> None:
        raise error

    return Task(work, where, is_quick=True)
