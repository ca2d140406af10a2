"""What can go wrong with a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn


class BackendError(RuntimeError):
    """A backend refused a request or could not be reached; ``status`` is that of HTTP, if any."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Cancelled(RuntimeError):
    """A program was told to stop."""


class ProgramError(RuntimeError):
    """A value is missing because its program failed; ``__cause__`` is what went wrong."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program could not go on."""

    cause: Exception
    where: str
    """The place in the program, for people."""

    def throw(self) -> NoReturn:
        """Report the failure to somebody who uses a value."""
        if isinstance(self.cause, ProgramError):  # of another state, and told in full there
            raise ProgramError(str(self.cause)) from self.cause.__cause__
        raise ProgramError(f"{self.where}: {type(self.cause).__name__}: {self.cause}") from (
            self.cause
        )
