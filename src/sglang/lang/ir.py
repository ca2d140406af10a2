"""What a program is made of: texts, generated texts, choices, turns of a chat, images.

A program adds these expressions to its state; nothing happens before. ``+`` puts expressions and
strings in a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sglang.lang.choices import ChoicesMethod
    from sglang.lang.sampling_params import SamplingParams


class Expr:
    """Anything that can be added to a program's state."""

    __slots__ = ()

    def __add__(self, other: Expr | str) -> Row:
        return Row((*flatten(self), *flatten(other)))

    def __radd__(self, other: Expr | str) -> Row:
        return Row((*flatten(other), *flatten(self)))


@dataclass(frozen=True, slots=True)
class Text(Expr):
    """Text as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Gen(Expr):
    """Text that the model writes, kept under a name if it has one."""

    name: str | None
    params: SamplingParams
    reasoning_parser: str | None = None
    """Take the reasoning in this format out of the text, into ``{name}_reasoning_content``."""


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """One of several texts, as the model finds likely."""

    name: str | None
    choices: tuple[str, ...]
    method: ChoicesMethod


@dataclass(frozen=True, slots=True)
class RoleBegin(Expr):
    """What follows is said by ``role``."""

    role: str


@dataclass(frozen=True, slots=True)
class RoleEnd(Expr):
    """The turn of ``role`` is over."""

    role: str


@dataclass(frozen=True, slots=True)
class Image(Expr):
    """An image: a file name, a URL, base64 text, or the bytes of a file."""

    source: str | bytes


@dataclass(frozen=True, slots=True)
class Video(Expr):
    """A video file, of which ``num_frames`` frames are looked at."""

    path: str
    num_frames: int


@dataclass(frozen=True, slots=True)
class ScopeBegin(Expr):
    """From here on the text is also kept under ``name`` ..."""

    name: str


@dataclass(frozen=True, slots=True)
class ScopeEnd(Expr):
    """... up to here."""

    name: str


@dataclass(frozen=True, slots=True)
class Row(Expr):
    """Expressions one after the other; holds no rows itself."""

    parts: tuple[Expr, ...]


def flatten(value: Expr | str) -> Iterator[Expr]:
    """The single expressions of ``value``, in their order.

    Raises:
        TypeError: it is neither an expression nor a string.
    """
    if isinstance(value, Row):
        yield from value.parts
    elif isinstance(value, Expr):
        yield value
    elif isinstance(value, str):
        yield Text(value)
    else:
        raise TypeError(
            "a program is made of strings and of gen, select, image, user ... expressions, "
            f"not of {type(value).__name__}"
        )
