"""A named value of a program: there at once by name, with its content when it is generated."""

from __future__ import annotations

from typing import Any

from sglang.lang.errors import Failure
from sglang.lang.text_feed import TextFeed


class Variable:
    """A value to come. Forks share those of the state that they come from."""

    def __init__(self) -> None:
        self.feed = TextFeed()
        self.meta_info: dict[str, Any] = {}
        """Figures of the backend about the text; those so far while it is streamed."""
        self._value: Any = None

    @classmethod
    def of(cls, value: Any) -> Variable:
        """One that is there already."""
        variable = cls()
        variable.finish(value)
        return variable

    def finish(self, value: Any, meta_info: dict[str, Any] | None = None) -> None:
        """The value is there."""
        self._value = value
        if meta_info is not None:
            self.meta_info = meta_info
        self.feed.finish()

    def fail(self, failure: Failure) -> None:
        """The value will never be there."""
        self.feed.finish(failure)

    def value(self) -> Any:
        """The value, once it is there.

        Raises:
            ProgramError: it will never be.
        """
        self.feed.wait()
        return self._value
