"""Runs a program without a backend, to know beforehand what it begins with.

What is not known yet, arguments and generated text, is a :class:`Placeholder`. A program may add
placeholders to its text; as soon as it looks into one, the trace ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sglang.lang import ir
from sglang.lang.chat_template import ChatTemplate
from sglang.lang.conversation import Conversation, Message, Prompt
from sglang.lang.program_state import ProgramState
from sglang.lang.text_feed import TextFeed
from sglang.lang.variable import Variable


class Inspected(BaseException):
    """The program asks for something that a trace does not know. No error: nobody may catch it."""


class Placeholder(ir.Expr):
    """A value that is not known yet: an argument, or text to be generated."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise Inspected


def _inspect(self: object, *_: object) -> NoReturn:
    raise Inspected


for _name in (
    *("eq", "ne", "lt", "le", "gt", "ge", "hash", "bool", "len", "iter", "contains", "getitem"),
    *("call", "str", "format", "int", "float", "index", "fspath", "enter", "aiter", "await"),
    *("mod", "rmod", "mul", "rmul", "sub", "rsub", "truediv", "rtruediv", "neg"),
):
    setattr(Placeholder, f"__{_name}__", _inspect)


@dataclass(frozen=True, slots=True)
class Forked(ir.Expr):
    """The branches of a fork."""

    branches: tuple[list[ir.Expr], ...]


@dataclass
class Trace:
    """What a program does, as far as it is known beforehand."""

    nodes: list[ir.Expr] = field(default_factory=list)
    complete: bool = False
    """The program was followed to its end."""
    error: Exception | None = None
    """What the program raised, be it because of a placeholder."""

    def prefix(self, template: ChatTemplate) -> Prompt:
        """What every run begins with: everything before the first unknown or generated text."""
        talk = Conversation(template)
        for node in self.nodes:
            match node:
                case ir.Text(text):
                    talk.add_text(text)
                case ir.RoleBegin(role):
                    talk.begin(role)
                case ir.RoleEnd(role):
                    talk.end(role)
                case ir.ScopeBegin() | ir.ScopeEnd():
                    pass
                case _:
                    break
        return talk.prompt()


class Tracer:
    """Stands in for an interpreter and notes what it is told."""

    def __init__(self) -> None:
        self.nodes: list[ir.Expr] = []
        self.variables: dict[str, Variable] = {}
        self._known: dict[str, Any] = {}

    def submit(self, value: ir.Expr | str, where: str) -> None:
        self.nodes.extend(ir.flatten(value))

    def set(self, name: str, value: Any) -> None:
        self._known[name] = value

    def fork(self, count: int, where: str) -> Sequence[Tracer]:
        children = [Tracer() for _ in range(count)]
        for child in children:
            child._known = dict(self._known)
        self.submit(Forked(tuple(child.nodes for child in children)), where)
        return children

    def append_rest(self, child: Tracer, where: str) -> None:
        self.nodes.extend(child.nodes)

    def value(self, name: str) -> Any:
        return self._known.get(name, Placeholder(name))

    def variable(self, name: str) -> Variable:
        raise Inspected

    def text(self) -> str:
        raise Inspected

    def messages(self) -> list[Message]:
        raise Inspected

    def error(self) -> Exception | None:
        raise Inspected

    def settle(self) -> None:
        pass

    def tap(self) -> TextFeed:
        raise Inspected

    def untap(self, feed: TextFeed) -> None:
        pass

    def reading(self) -> AbstractContextManager[None]:
        raise Inspected

    def cancel(self, where: str) -> None:
        raise Inspected


def trace_program(body: Callable[..., Any], arguments: dict[str, Any]) -> Trace:
    """Follow ``body`` as far as it goes with these arguments, some of them placeholders."""
    tracer = Tracer()
    trace = Trace(tracer.nodes)
    try:
        body(ProgramState(tracer), **arguments)
        trace.complete = True
    except Inspected:
        pass
    except Exception as error:
        trace.error = error
    return trace
