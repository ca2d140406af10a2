"""Results on their way to the disk: what is finished while a write goes on is written next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sglang.srt.batches.records import LineResult


class ResultWriter:
    """Writes the results of one batch in groups, one group at a time."""

    def __init__(self, record: Callable[[Sequence[LineResult]], Awaitable[None]]) -> None:
        self._record = record
        self._waiting: list[tuple[LineResult, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, result: LineResult) -> None:
        """Returns when the result is kept for good. Raises what ``record`` raises."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        await written

    async def drain(self) -> None:
        """Wait for the results whose writers did not wait themselves."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            failure: Exception | None = None
            try:
                await self._record([result for result, _ in group])
            except Exception as error:
                failure = error
            for _, written in group:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)
