"""What a program needs of a backend.

A backend derives from :class:`Backend` and has at least ``generate`` and ``stream``. It is used
from many threads at once. What it cannot do it leaves as it is here: refused with a message.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, runtime_checkable

from sglang.lang.chat_template import PLAIN, ChatTemplate
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Prompt
from sglang.lang.errors import BackendError
from sglang.lang.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class Generation:
    """Text from a backend: a whole answer, or the next piece of one."""

    text: str
    meta_info: dict[str, Any] = field(default_factory=dict)


class Stream(Iterator[Generation]):
    """The pieces of an answer, which any thread can put an end to.

    Args:
        pieces: Where they come from.
        cancel: Ends the wait for the next piece; without it the one that comes next is the last.
    """

    def __init__(
        self, pieces: Iterator[Generation], cancel: Callable[[], None] = lambda: None
    ) -> None:
        self._pieces = pieces
        self._cancel = cancel
        self._is_cancelled = False

    def __next__(self) -> Generation:
        if self._is_cancelled:
            self.close()
            raise BackendError("the request was cancelled")
        return next(self._pieces)

    def close(self) -> None:
        """Let the backend go; only for the thread that reads."""
        if isinstance(self._pieces, Generator):
            self._pieces.close()

    def cancel(self) -> None:
        """Whoever reads gets BackendError instead of the next piece."""
        self._is_cancelled = True
        self._cancel()


@runtime_checkable
class Backend(Protocol):
    """Something that goes on with a prompt."""

    chat_template: ChatTemplate = PLAIN
    """How turns are written into ``Prompt.text``."""

    writes_whole_turns: bool = False
    """It is given messages, and a gen can only be a whole turn of the assistant."""

    @abstractmethod
    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        """Whole answers: one, or ``params.n``.

        Raises:
            BackendError: the request was refused, or there is no answer.
        """

    @abstractmethod
    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        """The pieces of one answer as they come; the last one has the final ``meta_info``.

        A :class:`Stream` can say how to end the wait for the next piece from another thread.
        """

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        """The index of the choice that follows best, and figures about it."""
        _refuse(self, "choices")

    def cache_prefix(self, prompt: Prompt) -> None:
        """Several prompts that begin like this one are about to come."""
        return

    def separate_reasoning(self, text: str, parser: str) -> tuple[str, str]:
        """The reasoning in a generated text, and the rest."""
        _refuse(self, "separate_reasoning")

    def flush_cache(self) -> None:
        """Forget what is cached."""
        _refuse(self, "flush_cache")

    def get_server_info(self) -> dict[str, Any]:
        """How the server behind it is set up."""
        _refuse(self, "get_server_info")


def _refuse(backend: Backend, what: str) -> NoReturn:
    raise BackendError(f"{type(backend).__name__} does not support {what}")
