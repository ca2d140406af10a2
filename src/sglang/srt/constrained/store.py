"""Compiled grammars by what was asked for, compiled off the engine's loop."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from sglang.srt.constrained.backends import BackendConfig, make_backend
from sglang.srt.constrained.grammar import Backend, CompiledGrammar, GrammarError, GrammarSpec
from sglang.srt.constrained.worker_client import GrammarWorker

logger = logging.getLogger(__name__)

MAX_GRAMMARS = 128
WORKERS = 2
"""So that one grammar that takes its time does not hold up all others."""


class GrammarStore:
    """Implements ``grammar.GrammarSource``: the grammars that were used last. For one thread.

    Each grammar is tried in a worker process first, with limits on time and memory, and then built
    in a thread of this process.
    """

    def __init__(self, config: BackendConfig, capacity: int = MAX_GRAMMARS) -> None:
        self._config = config
        self._capacity = capacity
        self._grammars: OrderedDict[GrammarSpec, Future[CompiledGrammar]] = OrderedDict()
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="grammar")
        self._idle = [GrammarWorker(config) for _ in range(WORKERS)]
        self._workers = tuple(self._idle)
        self._backend: Backend | None = None
        self._starting = threading.Lock()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    def get(self, spec: GrammarSpec) -> Future[CompiledGrammar]:
        found = self._grammars.get(spec)
        if found is None:
            found = self._threads.submit(self._compile, spec)
            found.add_done_callback(self._wake)
            self._grammars[spec] = found
            if len(self._grammars) > self._capacity:
                self._grammars.popitem(last=False)
        else:
            self._grammars.move_to_end(spec)
        return found

    def warm_up(self) -> None:
        """Start what the first grammar will need, in the background."""

        def start_worker() -> None:
            with self._a_worker() as worker:
                worker.start()

        self._threads.submit(self._logged, start_worker)
        self._threads.submit(self._logged, self._engine_backend)

    def fileno(self) -> int:
        """Readable when a grammar has become ready since :meth:`drain`."""
        return self._wake_reader

    def drain(self) -> None:
        """Take notice of what has become ready."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wake_reader, 4096):
                pass

    def close(self) -> None:
        """End the worker processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.close()

    # ------------------------------------------------------------------ in the threads

    def _compile(self, spec: GrammarSpec) -> CompiledGrammar:
        try:
            with self._a_worker() as worker:
                prepared = worker.prepare(spec)
            return self._engine_backend().load(prepared)
        except GrammarError:
            raise
        except Exception as error:
            logger.exception("a grammar could not be compiled")
            raise GrammarError(f"internal error: {type(error).__name__}") from error

    @contextlib.contextmanager
    def _a_worker(self) -> Iterator[GrammarWorker]:
        """One of the workers for a while, the one used last if it is free."""
        worker = self._idle.pop()
        try:
            yield worker
        finally:
            self._idle.append(worker)

    def _engine_backend(self) -> Backend:
        with self._starting:
            if self._backend is None:
                self._backend = make_backend(self._config)
            return self._backend

    def _logged(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            logger.exception("the grammar backend cannot start")

    def _wake(self, _: Future[CompiledGrammar]) -> None:
        with contextlib.suppress(BlockingIOError):  # full: there is enough to wake up for
            os.write(self._wake_writer, b"\0")
