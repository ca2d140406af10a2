"""Many runs of a program at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AUTO_THREADS = 64
"""At least so many runs at once: the backend batches them, so that more is faster."""
AUTO_THREADS_A_CPU = 16


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is run."""

    num_threads: int | str = "auto"
    progress_bar: bool = False

    def threads(self, count: int) -> int:
        """Threads for ``count`` items.

        Raises:
            ValueError: num_threads is neither "auto" nor a number above 0.
        """
        if self.num_threads == "auto":
            wanted = max(AUTO_THREADS, AUTO_THREADS_A_CPU * (os.cpu_count() or 1))
        elif isinstance(self.num_threads, int) and self.num_threads > 0:
            wanted = self.num_threads
        else:
            raise ValueError(
                f'num_threads must be "auto" or a number above 0, got {self.num_threads!r}'
            )
        return max(min(wanted, count), 1)


def run_in_threads(
    work: Callable[[T], R], items: Sequence[T], options: BatchOptions
) -> Iterator[R]:
    """The results of ``work`` in the order of ``items``, each once it and those before are there.

    What has not begun when the iterator is closed, or an item raises, is left undone.
    """
    threads = options.threads(len(items))
    return _results(work, items, threads, options.progress_bar)


def _results(
    work: Callable[[T], R], items: Sequence[T], threads: int, progress_bar: bool
) -> Iterator[R]:
    bar = _progress_bar(len(items)) if progress_bar else None
    pool = ThreadPoolExecutor(threads, thread_name_prefix="sglang-batch")
    try:
        futures = [pool.submit(work, item) for item in items]
        if bar is not None:
            for future in futures:
                future.add_done_callback(lambda _: bar.update(1))
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if bar is not None:
            bar.close()


def _progress_bar(total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        warnings.warn("progress_bar needs the package tqdm", stacklevel=2)
        return None
    return tqdm(total=total)
