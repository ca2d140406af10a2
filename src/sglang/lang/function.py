"""Programs: Python functions over a state, and the ways to run them."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sglang.lang.backend.base import Backend
from sglang.lang.batch import BatchOptions, run_in_threads
from sglang.lang.default_backend import resolve_backend
from sglang.lang.errors import BackendError
from sglang.lang.interpreter import WORTH_CACHING, Interpreter
from sglang.lang.program_state import ProgramState
from sglang.lang.sampling_params import RUN_FIELDS, SamplingParams
from sglang.lang.steps import Run
from sglang.lang.tracer import Placeholder, Trace, trace_program

DEFAULT_MAX_NEW_TOKENS = 128

_RESERVED = frozenset({*RUN_FIELDS, "backend", "stream", "num_threads", "progress_bar"})


class Function:
    """A program; made by ``@function``.

    The keywords of :meth:`run` that are sampling parameters (``temperature``, ``stop``,
    ``max_new_tokens`` ...) hold for every gen that says nothing else; the others are the program's
    arguments. Called with a state, ``f(s, ...)``, the program goes on from that state.

    Raises:
        TypeError: the function has no argument for the state, or one whose name is taken.
    """

    def __init__(
        self,
        body: Callable[..., Any],
        bound: Mapping[str, Any] | None = None,
        num_api_spec_tokens: int | None = None,
    ) -> None:
        functools.update_wrapper(self, body)
        self.num_api_spec_tokens = num_api_spec_tokens
        self.name = body.__name__
        self._body = body
        self._bound = dict(bound or {})
        self._signature = inspect.signature(body)
        names = list(self._signature.parameters)
        if not names:
            raise TypeError(f"{body.__name__} needs an argument for the state, like {_EXAMPLE}")
        if taken := _RESERVED.intersection(names[1:]):
            raise TypeError(
                f"{body.__name__} cannot have an argument {min(taken)!r}: run() takes it for itself"
            )
        self._state_name, *self.arg_names = names

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], ProgramState):
            return self._body(*args, **{**self._bound, **kwargs})
        return self.run(*args, **kwargs)

    def bind(self, **kwargs: Any) -> Function:
        """The program with some of its arguments given."""
        self._check_names(kwargs)
        return Function(self._body, {**self._bound, **kwargs}, self.num_api_spec_tokens)

    def run(
        self, *args: Any, backend: Backend | Any = None, stream: bool = False, **kwargs: Any
    ) -> ProgramState:
        """Run the program and return its state.

        Without ``stream`` it is done when this returns, and an error of the body is raised. With
        ``stream`` it goes on in the background; :meth:`ProgramState.text_iter` follows it, and an
        error is raised there and wherever a missing value is used.
        """
        defaults, arguments = self._arguments(args, kwargs)
        chosen = resolve_backend(backend)
        executor = Interpreter(Run(chosen, defaults, stream, self.num_api_spec_tokens))
        state = ProgramState(executor)
        body = self._bind_body(state, arguments)
        if stream:
            executor.run_body_beside(body, self.name)
        else:
            body()
            state.sync()
        return state

    def run_batch(
        self,
        batch_kwargs: Sequence[Mapping[str, Any]],
        *,
        backend: Backend | Any = None,
        num_threads: int | str = "auto",
        progress_bar: bool = False,
        generator_style: bool = False,
        cache_prefix: bool = True,
        **sampling: Any,
    ) -> list[ProgramState] | Any:
        """Run the program once for each of several sets of arguments, in parallel.

        Returns the states in the order of the arguments, or with ``generator_style`` yields them
        one by one. A program that fails does not disturb the others: its state says so, by
        ``error()`` and wherever a missing value is used. What all of them begin with is sent to
        the backend once beforehand; to find that out, the body is run up to the first point where
        it looks into an argument, unless ``cache_prefix`` is False.

        Raises:
            TypeError: a set of arguments does not fit the program.
        """
        defaults, rest = _split(sampling)
        self._check_names(rest)
        items = [{**self._bound, **rest, **item} for item in batch_kwargs]
        for index, item in enumerate(items):
            self._check(item, f"item {index} of the batch")
        chosen = resolve_backend(backend)
        if cache_prefix and len(items) > 1:
            self._send_prefix(_shared(items), chosen)

        run = Run(chosen, defaults, num_api_spec_tokens=self.num_api_spec_tokens)

        def run_one(item: dict[str, Any]) -> ProgramState:
            executor = Interpreter(run)
            state = ProgramState(executor)
            executor.run_body(self._bind_body(state, item), self.name)
            state.sync()
            return state

        states = run_in_threads(run_one, items, BatchOptions(num_threads, progress_bar))
        return states if generator_style else list(states)

    def trace(self, **kwargs: Any) -> Trace:
        """What the program does, as far as it does not depend on arguments that are not given."""
        self._check_names(kwargs)
        given = {**self._bound, **kwargs}
        unknown = {name: Placeholder(name) for name in self.arg_names if name not in given}
        return trace_program(self._body, {**unknown, **given})

    def cache(self, backend: Backend | Any = None) -> None:
        """Let the backend compute what every run of the program begins with."""
        chosen = resolve_backend(backend)
        prefix = self.trace().prefix(chosen.chat_template)
        if prefix.text:
            chosen.cache_prefix(prefix)

    def _send_prefix(self, known: dict[str, Any], backend: Backend) -> None:
        prefix = self.trace(**known).prefix(backend.chat_template)
        if len(prefix.text) >= WORTH_CACHING:
            # If the backend is in trouble, each program will find out and report it.
            with contextlib.suppress(BackendError):
                backend.cache_prefix(prefix)

    def _bind_body(self, state: ProgramState, arguments: dict[str, Any]) -> Callable[[], None]:
        def body() -> None:
            state.ret_value = self._body(state, **arguments)

        return body

    def _arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[SamplingParams, dict[str, Any]]:
        defaults, rest = _split(kwargs)
        if len(args) > len(self.arg_names):
            raise TypeError(f"{self.name} takes {len(self.arg_names)} arguments, got {len(args)}")
        named = dict(zip(self.arg_names, args, strict=False))
        if twice := named.keys() & rest.keys():
            raise TypeError(f"{self.name} got {min(twice)!r} twice")
        arguments = {**self._bound, **named, **rest}
        self._check(arguments, "run()")
        return defaults, arguments

    def _check(self, arguments: Mapping[str, Any], what: str) -> None:
        try:
            self._signature.bind(None, **arguments)
        except TypeError as error:
            raise TypeError(f"{what} does not fit {self.name}: {error}") from None

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        try:
            self._signature.bind_partial(None, **arguments)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None


_EXAMPLE = "def program(s, question)"


def _split(kwargs: Mapping[str, Any]) -> tuple[SamplingParams, dict[str, Any]]:
    """Sampling parameters, and what is left for the program."""
    sampling = {name: value for name, value in kwargs.items() if name in RUN_FIELDS}
    rest = {name: value for name, value in kwargs.items() if name not in RUN_FIELDS}
    return SamplingParams(**{"max_new_tokens": DEFAULT_MAX_NEW_TOKENS, **sampling}), rest


def _shared(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments that are the same in all items."""
    first, *others = items
    return {
        name: value
        for name, value in first.items()
        if all(name in other and _is_same(other[name], value) for other in others)
    }


def _is_same(one: Any, other: Any) -> bool:
    """Without asking objects of unknown kinds, whose == may be anything."""
    if one is other:
        return True
    return type(one) is type(other) and isinstance(one, (str, int, float, bytes)) and one == other
