"""The one thread that works on the storage folder, so that changes have an order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sglang.srt.batches.folder import disk_full, is_full, is_storage, unavailable
from sglang.srt.batches.storage import Storage

T = TypeVar("T")


class StorageThread:
    """Opens the folder when it is first needed, and again at the next need if that fails."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._storage: Storage | None = None
        self._is_closed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="storage")

    @property
    def holds_something(self) -> bool:
        """Whether there is anything to open."""
        return is_storage(self._root)

    async def call(self, function: Callable[[Storage], T]) -> T:
        """The result of ``function`` in its turn.

        Raises:
            RequestError: 503, the folder cannot be used; 507, the disk is full.
        """
        if self._is_closed:
            raise unavailable("the server is shutting down")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, function)

    async def close(self) -> None:
        """Finish what is waiting and leave the folder. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._executor, self._close)
            self._executor.shutdown()

    def _close(self) -> None:
        if self._storage is not None:
            self._storage.close()
            self._storage = None

    def _run(self, function: Callable[[Storage], T]) -> T:
        if self._storage is None:
            self._storage = Storage(self._root, time.time())
        try:
            return function(self._storage)
        except OSError as error:
            if is_full(error):
                raise disk_full() from None
            raise
