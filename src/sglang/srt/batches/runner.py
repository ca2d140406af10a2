"""Running batches: one task each, and a bound on the lines that are answered at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from sglang.srt.batches.batch_store import PendingLine
from sglang.srt.batches.folder import Damaged
from sglang.srt.batches.input_file import LineFault, LineIndex, LineRequest, parse_line, scan
from sglang.srt.batches.records import Batch, LineError, LineResult
from sglang.srt.batches.result_lines import LineAnswer, answered, unanswered
from sglang.srt.batches.result_writer import ResultWriter
from sglang.srt.batches.storage import Storage
from sglang.srt.batches.storage_thread import StorageThread

logger = logging.getLogger(__name__)

Execute = Callable[[str, bytes], Awaitable[LineAnswer]]
"""Answers the body (JSON) of a line for an endpoint; raises nothing."""

PAGE = 64
"""Pending lines that are looked up at once."""
RETRY_SECONDS = 30.0
"""Until a batch goes on after the disk refused."""
MAX_DEATHS = 3
"""A line during which the engine has died so often is not tried again."""
BUSY_STATUSES = frozenset({429, 503})
"""Answers that say nothing about the line: it is tried again."""
MIN_BUSY_SECONDS, MAX_BUSY_SECONDS = 1.0, 30.0


class BatchRunner:
    """Owns the tasks of the open batches.

    What a task knows is in the storage, so it may be stopped anywhere, even by kill -9, and
    started again.
    """

    def __init__(
        self, thread: StorageThread, execute: Execute, *, slots: int, model: str | None
    ) -> None:
        """``slots`` lines are answered at once; ``model`` is the only one accepted, if any."""
        self._thread = thread
        self._execute = execute
        self._model = model
        self._slots = asyncio.Semaphore(slots)
        self._scanning = asyncio.Lock()
        self._alone = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cancelled: dict[str, asyncio.Event] = {}

    def start(self, batch_id: str) -> None:
        """Work on an open batch until it ends."""
        self._cancelled[batch_id] = asyncio.Event()
        task = asyncio.create_task(self._run(batch_id))
        self._tasks[batch_id] = task
        task.add_done_callback(lambda _: self._forget(batch_id))

    def cancel(self, batch_id: str) -> None:
        """The storage says that the batch is cancelled: stop answering its lines."""
        if batch_id in self._cancelled:
            self._cancelled[batch_id].set()

    async def stop(self) -> None:
        """Stop working; lines that are being answered will be answered anew."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, batch_id: str) -> None:
        del self._tasks[batch_id], self._cancelled[batch_id]

    async def _run(self, batch_id: str) -> None:
        while True:
            try:
                batch = await self._to_the_end(batch_id)
            except Exception:
                logger.exception("the batch %s will go on in %g s", batch_id, RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            logger.info(
                "the batch %s has ended: %s, %d of %d requests completed, %d failed",
                *(batch.id, batch.status, batch.completed, batch.total, batch.failed),
            )
            return

    async def _to_the_end(self, batch_id: str) -> Batch:
        try:
            return await self._advance(batch_id)
        except Damaged as error:
            fault = LineError("storage_damaged", str(error))
            return await self._thread.call(lambda s: s.batches.fail(batch_id, [fault], time.time()))

    async def _advance(self, batch_id: str) -> Batch:
        """Take a batch through the rest of its statuses."""
        call = self._thread.call
        batch = await call(lambda s: s.batches.get(batch_id))
        is_resumed = batch.status == "in_progress"
        if batch.status == "validating":
            batch = await self._validate(batch)
        if batch.status == "in_progress":
            await self._answer_until_over(batch, is_resumed=is_resumed)
            batch = await call(lambda s: s.batches.begin_finalizing(batch_id, time.time()))
        if batch.is_final:
            return batch
        is_expired = batch.status == "finalizing" and await self._mark_expired(batch)
        return await call(lambda s: s.batches.finish(batch_id, time.time(), is_expired=is_expired))

    # ------------------------------------------------------------------ validating

    async def _validate(self, batch: Batch) -> Batch:
        async with self._scanning:
            file = await self._thread.call(lambda s: s.folder.open(batch.input_file_id))
            with file:
                index, errors = await asyncio.to_thread(scan, file, batch.endpoint, self._model)
        return await self._thread.call(lambda s: _after_scan(s, batch.id, index, errors))

    # ------------------------------------------------------------------ answering

    async def _answer_until_over(self, batch: Batch, *, is_resumed: bool) -> None:
        """Answer lines until there are no more, or the batch is cancelled or expires."""
        seconds = batch.expires_at - time.time()
        if seconds <= 0:
            return
        writer = ResultWriter(partial(self._record, batch))
        work = asyncio.create_task(self._answer_all(batch, writer, is_resumed=is_resumed))
        cancelled = asyncio.create_task(self._cancelled[batch.id].wait())
        try:
            await asyncio.wait(
                {work, cancelled}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                work.result()
        finally:
            work.cancel()
            cancelled.cancel()
            await asyncio.gather(work, cancelled, return_exceptions=True)
            await writer.drain()

    async def _answer_all(self, batch: Batch, writer: ResultWriter, *, is_resumed: bool) -> None:
        if is_resumed:
            await self._answer_suspects(batch, writer)
        running: set[asyncio.Task[None]] = set()
        try:
            async for line in self._pending(batch):
                await self._slots.acquire()
                task = asyncio.create_task(self._answer_line(batch, line, writer))
                task.add_done_callback(lambda _: self._slots.release())
                running.add(task)
                running = {task for task in running if not _ended_well(task)}
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _answer_suspects(self, batch: Batch, writer: ResultWriter) -> None:
        """Answer the lines during which the engine has died one by one, to find the culprit."""
        async with self._alone:
            for line in await self._thread.call(lambda s: s.batches.suspects(batch.id)):
                await self._answer_line(batch, line, writer)

    async def _pending(self, batch: Batch) -> AsyncIterator[PendingLine]:
        last = 0
        while page := await self._page(batch, last):
            for line in page:
                yield line
            last = page[-1].number

    async def _page(self, batch: Batch, after: int) -> Sequence[PendingLine]:
        return await self._thread.call(lambda s: s.batches.pending(batch.id, after, PAGE))

    async def _record(self, batch: Batch, results: Sequence[LineResult]) -> None:
        await self._thread.call(lambda s: s.batches.record(batch.id, results))

    async def _answer_line(self, batch: Batch, line: PendingLine, writer: ResultWriter) -> None:
        request = await self._request(batch, line)
        if line.deaths >= MAX_DEATHS:
            message = f"the engine has died {line.deaths} times while it worked on this request"
            result = unanswered(line.number, request.custom_id, "engine_died", message)
        else:
            answer = await self._execute_patiently(batch, line, request.body)
            result = answered(line.number, request.custom_id, answer)
        await writer.add(result)

    async def _execute_patiently(self, batch: Batch, line: PendingLine, body: bytes) -> LineAnswer:
        def note_death(storage: Storage) -> None:
            storage.batches.note_death(batch.id, line.number)

        delay = MIN_BUSY_SECONDS
        while (answer := await self._execute(batch.endpoint, body)).status in BUSY_STATUSES:
            if answer.engine_died:
                await self._thread.call(note_death)
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_BUSY_SECONDS)
        return answer

    async def _request(self, batch: Batch, line: PendingLine) -> LineRequest:
        """The request of a line, which was checked when the batch began."""
        return await self._thread.call(lambda s: _read_request(s, batch, line))

    # ------------------------------------------------------------------ expiry

    async def _mark_expired(self, batch: Batch) -> bool:
        """Give the lines that have no answer an error; whether there were any."""
        message = "the request was not run before the completion window of the batch had passed"
        is_expired = False
        while page := await self._page(batch, 0):
            is_expired = True
            results = []
            for line in page:
                request = await self._request(batch, line)
                results.append(unanswered(line.number, request.custom_id, "batch_expired", message))
            await self._record(batch, results)
        return is_expired


def _after_scan(
    storage: Storage, batch_id: str, index: LineIndex, errors: list[LineError]
) -> Batch:
    if errors:
        return storage.batches.fail(batch_id, errors, time.time())
    return storage.batches.begin(batch_id, index, time.time())


def _read_request(storage: Storage, batch: Batch, line: PendingLine) -> LineRequest:
    data = storage.folder.read(batch.input_file_id, line.offset, line.length)
    try:
        return parse_line(data, batch.endpoint)
    except LineFault:
        raise Damaged(f"line {line.number} of the input file has changed") from None


def _ended_well(task: asyncio.Task[None]) -> bool:
    """Whether it has ended; what it raised is raised."""
    if not task.done():
        return False
    task.result()
    return True
