"""What a program gets to hold: the state that it writes to and reads from."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sglang.lang import ir
from sglang.lang.conversation import Message
from sglang.lang.text_feed import TextFeed
from sglang.lang.variable import Variable


class Executor(Protocol):
    """What stands behind a state: an interpreter, or a tracer, which only takes notes."""

    variables: dict[str, Variable]

    def submit(self, value: ir.Expr | str, where: str) -> None: ...
    def set(self, name: str, value: Any) -> None: ...
    def fork(self, count: int, where: str) -> Sequence[Executor]: ...
    def append_rest(self, child: Any, where: str) -> None: ...
    def value(self, name: str) -> Any: ...
    def variable(self, name: str) -> Variable: ...
    def text(self) -> str: ...
    def messages(self) -> list[Message]: ...
    def error(self) -> Exception | None: ...
    def settle(self) -> None: ...
    def tap(self) -> TextFeed: ...
    def untap(self, feed: TextFeed) -> None: ...
    def reading(self) -> AbstractContextManager[None]: ...
    def cancel(self, where: str) -> None: ...


class ProgramState:
    """The text of a program, its turns, and the values it has generated.

    Adding to it (``s += ...``) returns at once. Reading waits: ``s["name"]`` for that value,
    ``text()`` and ``messages()`` for all of it. If the program has failed, reading what is missing
    raises :class:`~sglang.lang.errors.ProgramError`.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.ret_value: Any = None
        """What the body of the program returned."""

    # ---- writing

    def __iadd__(self, value: ir.Expr | str) -> ProgramState:
        self._executor.submit(value, _place())
        return self

    def system(self, expr: ir.Expr | str | None = None) -> Any:
        """A turn of the system: an expression, or without one a context for ``with``."""
        return self._role("system", expr)

    def user(self, expr: ir.Expr | str | None = None) -> Any:
        """A turn of the user: an expression, or without one a context for ``with``."""
        return self._role("user", expr)

    def assistant(self, expr: ir.Expr | str | None = None) -> Any:
        """A turn of the assistant: an expression, or without one a context for ``with``."""
        return self._role("assistant", expr)

    @contextmanager
    def var_scope(self, name: str) -> Iterator[None]:
        """Keep the text that is written within it under a name."""
        self._executor.submit(ir.ScopeBegin(name), _place())
        yield
        self._executor.submit(ir.ScopeEnd(name), _place())

    def _role(
        self, role: str, expr: ir.Expr | str | None
    ) -> ir.Expr | AbstractContextManager[None]:
        if expr is None:
            return self._turn(role)
        return turn_of(role, expr)

    @contextmanager
    def _turn(self, role: str) -> Iterator[None]:
        self._executor.submit(ir.RoleBegin(role), _place())
        yield
        self._executor.submit(ir.RoleEnd(role), _place())

    # ---- branching

    def fork(self, size: int = 1) -> StateGroup:
        """``size`` states that go on from here in parallel, each by itself.

        They have this state's text and variables, and what they add stays with them. Returns at
        once, also while the text up to here is still being generated. ``with s.fork(2) as forks:``
        joins them at the end.
        """
        if size < 1:
            raise ValueError(f"a state is forked into at least one, not into {size}")
        executors = self._executor.fork(size, _place())
        return StateGroup([ProgramState(executor) for executor in executors], self)

    def copy(self) -> ProgramState:
        """One state that goes on from here by itself; ``with s.copy() as t:`` waits at the end."""
        return self.fork(1)[0]

    def __enter__(self) -> ProgramState:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()

    # ---- reading

    def __getitem__(self, name: str) -> Any:
        return self._executor.value(name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._executor.set(name, value)

    def __contains__(self, name: str) -> bool:
        return name in self._executor.variables

    def get_var(self, name: str) -> Any:
        """The same as ``s[name]``: a value, once it is there.

        Raises:
            KeyError: there is no such variable.
            ProgramError: the program has failed before it was there.
        """
        return self._executor.value(name)

    def set_var(self, name: str, value: Any) -> None:
        """The same as ``s[name] = value``: keep a value, which is no part of the text."""
        self._executor.set(name, value)

    def get_meta_info(self, name: str) -> dict[str, Any]:
        """Figures of the backend about a generated value: token counts, logprobs, why it ended."""
        variable = self._executor.variable(name)
        variable.value()
        return variable.meta_info

    def text(self) -> str:
        """Everything written and generated, with the marks of the chat template."""
        return self._executor.text()

    def messages(self) -> list[Message]:
        """The turns so far, as the messages of a chat."""
        return self._executor.messages()

    def error(self) -> Exception | None:
        """What made the program fail; None if nothing did. Waits until it is done."""
        return self._executor.error()

    def sync(self) -> None:
        """Wait until everything so far is done."""
        self._executor.settle()

    def cancel(self) -> None:
        """Stop generating, here and in the forks: what is not there yet will never be.

        A request that is streamed ends at once; one that is not ends by itself, unheard. A program
        that is done stays as it is.
        """
        self._executor.cancel(_place())

    def text_iter(self, var_name: str | None = None) -> Iterator[str]:
        """The pieces of the text, or of one value, as they come.

        They come while they are generated if the program runs with ``stream=True``; otherwise a
        value comes in one piece. A program that streams is cancelled when the last of its readers
        closes its iterator before the end, or drops it: ``break`` in a loop does.
        """
        with self._executor.reading():
            if var_name is not None:
                yield from self._executor.variable(var_name).feed.pieces()
                return
            feed = self._executor.tap()
            try:
                yield from feed.pieces()
            finally:
                self._executor.untap(feed)

    async def text_async_iter(
        self, var_name: str | None = None, return_meta_data: bool = False
    ) -> AsyncIterator[Any]:
        """:meth:`text_iter` for an event loop.

        With ``return_meta_data`` pairs of a piece of the value and its figures so far.
        """
        if var_name is None:
            if return_meta_data:
                raise ValueError("return_meta_data needs a var_name: figures belong to a value")
            with self._executor.reading():
                feed = self._executor.tap()
                try:
                    async for piece in feed.async_pieces():
                        yield piece
                finally:
                    self._executor.untap(feed)
            return
        with self._executor.reading():
            variable = await _in_thread(lambda: self._executor.variable(var_name))
            async for piece in variable.feed.async_pieces():
                yield (piece, variable.meta_info) if return_meta_data else piece


class StateGroup:
    """The states that a fork made."""

    def __init__(self, states: Sequence[ProgramState], parent: ProgramState) -> None:
        self.states = list(states)
        self._parent = parent

    def __getitem__(self, index: int) -> ProgramState:
        return self.states[index]

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[ProgramState]:
        return iter(self.states)

    def __iadd__(
        self, value: ir.Expr | str | Sequence[ir.Expr | str] | Callable[[int], ir.Expr | str]
    ) -> StateGroup:
        """Add to each: the same, its entry of a list, or what a function makes of its index."""
        count = len(self.states)
        if isinstance(value, (str, ir.Expr)):
            values: Sequence[ir.Expr | str] = [value] * count
        else:
            values = [value(index) for index in range(count)] if callable(value) else value
        if len(values) != count:
            raise ValueError(f"{len(values)} values cannot be added to {count} states")
        for state, each in zip(self.states, values, strict=True):
            state._executor.submit(each, _place())
        return self

    def join(self, mode: str = "gather_variable") -> None:
        """Bring the results home.

        ``gather_variable``: each variable that the forks have made becomes one of the parent, a
        list with the value of each fork that has it. ``concate_and_append``: the texts that the
        forks have added follow one another in the parent.
        """
        executor = self._parent._executor
        if mode == "concate_and_append":
            for state in self.states:
                executor.append_rest(state._executor, _place())
        elif mode == "gather_variable":
            for name, values in self._gathered().items():
                executor.set(name, values)
        else:
            raise ValueError(
                f"the mode of a join is gather_variable or concate_and_append, not {mode!r}"
            )

    def _gathered(self) -> dict[str, list[Any]]:
        inherited = self._parent._executor.variables
        gathered: dict[str, list[Any]] = {}
        for state in self.states:
            for name, variable in list(state._executor.variables.items()):
                if inherited.get(name) is not variable:
                    gathered.setdefault(name, []).append(state[name])
        return gathered

    def __enter__(self) -> StateGroup:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.join()


def turn_of(role: str, expr: ir.Expr | str) -> ir.Row:
    """A whole turn."""
    return ir.Row((ir.RoleBegin(role), *ir.flatten(expr), ir.RoleEnd(role)))


async def _in_thread(work: Callable[[], Variable]) -> Variable:
    import asyncio

    return await asyncio.to_thread(work)


def _place() -> str:
    """Where in the program we are: the nearest caller outside of this package."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _is_ours(module: str) -> bool:
    return module.startswith("sglang.lang.") or module == "contextlib"
