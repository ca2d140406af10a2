"""What one server option is: its facts, and the checks that follow from them.

Nothing here knows which options exist; :mod:`sglang.srt.server_args.args` declares them.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import typing
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal


class ServerArgsError(ValueError):
    """An option that cannot be accepted; ``option`` is its name, ``problem`` says why."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


@dataclass(frozen=True)
class Facts:
    """What the declaration of an option says besides its name, type and default."""

    section: str
    help: str
    aliases: tuple[str, ...] = ()
    """Further flags, with their dashes."""
    choices: tuple[str, ...] = ()
    """Also taken from the type where that is a ``Literal``."""
    planned: tuple[str, ...] = ()
    """Documented choices that are refused until they are built."""
    minimum: float | None = None
    above: float | None = None
    """Like ``minimum``, the bound itself excluded."""
    maximum: float | None = None
    below: float | None = None
    """Like ``maximum``, the bound itself excluded."""
    also: tuple[int, ...] = ()
    """Values outside the range that mean something."""
    default_text: str = ""
    """The default in words, where the value alone does not say it."""
    env: str = ""
    """Environment variable that is read when the option, no switch, is not given."""
    implemented: bool = True
    holds: bool = False
    secret: bool = False
    json_object: bool = False
    """A string that holds a JSON object; a mapping is accepted as well."""


@dataclass(frozen=True)
class Section:
    """A heading of the documentation; its options are declared through it."""

    title: str

    def option(self, default: Any, help: str, **facts: Any) -> Any:
        """A dataclass field for one option; ``facts`` are the fields of :class:`Facts`."""
        known = Facts(section=self.title, help=help, **facts)
        return field(default=default, repr=not known.secret, metadata={"facts": known})

    def planned(self, default: Any, help: str, **facts: Any) -> Any:
        """An option whose feature is not built yet: any value but the default is refused."""
        return self.option(default, help, implemented=False, **facts)

    def already(self, default: Any, help: str, **facts: Any) -> Any:
        """An option that asks for what is so already: accepted, and nothing has to read it."""
        return self.option(default, help, holds=True, **facts)


@dataclass(frozen=True)
class Option:
    """One option of the server, complete."""

    name: str
    type: type
    """``str``, ``int``, ``float`` or ``bool``; of the items where ``is_list``."""
    is_list: bool
    default: Any
    facts: Facts

    @property
    def flag(self) -> str:
        """The flag as the documentation spells it."""
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        return (self.flag, *self.facts.aliases)

    @cached_property
    def keys(self) -> frozenset[str]:
        """The names that a configuration file may use, with underscores."""
        long_flags = (flag for flag in self.flags if flag.startswith("--"))
        return frozenset(flag[2:].replace("-", "_") for flag in long_flags)

    def error(self, problem: str) -> ServerArgsError:
        return ServerArgsError(self.name, problem)

    def parse(self, text: str) -> Any:
        """The value that ``text`` stands for on a command line; switches take no text."""
        if self.type is str:
            return text
        kind = "a whole number" if self.type is int else "a number"
        try:
            return self.type(text)
        except ValueError:
            raise self.error(f"expected {kind}, got {text!r}") from None

    def check(self, value: Any) -> Any:
        """``value`` in its normal form; raises :class:`ServerArgsError` if it cannot be taken."""
        if value is None:
            if self.default is None:
                return None
            raise self.error("needs a value")
        if not self.is_list:
            value = self._check_item(value)
        elif isinstance(value, list | tuple):
            value = [self._check_item(item) for item in value]
        else:
            raise self.error(f"expected a list, got {value!r}")
        if not self.facts.implemented and value != self.default:
            raise self.error(f"not implemented yet (got {value!r})")
        return value

    def _check_item(self, value: Any) -> Any:
        value = self._check_type(value)
        if isinstance(value, str):
            self._check_text(value)
        elif not isinstance(value, bool):
            self._check_range(value)
        return value

    def _check_type(self, value: Any) -> Any:
        if self.facts.json_object and isinstance(value, dict):
            return json.dumps(value)
        if self.type is str and isinstance(value, os.PathLike):
            return os.fspath(value)
        if self.type is float and type(value) is int:
            return float(value)
        if type(value) is self.type:
            return value
        kind = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise self.error(f"expected {kind[self.type]}, got {value!r}")

    def _check_text(self, value: str) -> None:
        facts = self.facts
        if not value.strip() and value != self.default:
            raise self.error("may not be empty")
        if facts.json_object:
            _check_json_object(self, value)
        if not facts.choices or value in facts.choices or value == self.default:
            return
        if value in facts.planned:
            raise self.error(f"{value!r} is not implemented yet; {one_of(facts.choices)}")
        raise self.error(f"{value!r} is unknown; {one_of(facts.choices)}")

    def _check_range(self, value: float) -> None:
        facts = self.facts
        if value in facts.also:
            return
        if not math.isfinite(value):
            raise self.error(f"expected a finite number, got {value}")
        hint = "".join(f", or {extra}" for extra in facts.also)
        if facts.minimum is not None and value < facts.minimum:
            raise self.error(f"{value} is too small; the least is {facts.minimum}{hint}")
        if facts.above is not None and value <= facts.above:
            raise self.error(f"{value} is too small; it must be above {facts.above}{hint}")
        if facts.maximum is not None and value > facts.maximum:
            raise self.error(f"{value} is too large; the most is {facts.maximum}")
        if facts.below is not None and value >= facts.below:
            raise self.error(f"{value} is too large; it must be below {facts.below}")


def options_of(declaration: type) -> tuple[Option, ...]:
    """The options that a dataclass declares through :meth:`Section.option`, in order."""
    hints = typing.get_type_hints(declaration)
    return tuple(_option(item, hints[item.name]) for item in fields(declaration))


def _option(item: Field[Any], hint: Any) -> Option:
    facts: Facts = item.metadata["facts"]
    if typing.get_origin(hint) is Literal:
        facts = replace(facts, choices=typing.get_args(hint))
        return Option(item.name, str, False, item.default, facts)
    item_type, is_list = _plain_type(hint)
    return Option(item.name, item_type, is_list, item.default, facts)


def _plain_type(hint: Any) -> tuple[type, bool]:
    """``X``, ``X | None``, ``list[X]`` or ``list[X] | None`` as (X, is it a list)."""
    if typing.get_origin(hint) is list:
        return typing.get_args(hint)[0], True
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    return _plain_type(members[0]) if members else (hint, False)


def _check_json_object(option: Option, text: str) -> None:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise option.error(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise option.error(f"expected a JSON object, got {text!r}")


def one_of(choices: Iterable[str]) -> str:
    return "choose one of " + ", ".join(choices)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean X?)`` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
