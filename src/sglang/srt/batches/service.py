"""Files and batches, as the routes see them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from sglang.srt.batches.file_store import Order
from sglang.srt.batches.folder import StorageFolder, Upload, disk_full, is_full, over_quota
from sglang.srt.batches.records import Batch, FileRecord, new_id, window_seconds
from sglang.srt.batches.runner import BatchRunner, Execute
from sglang.srt.batches.storage_thread import StorageThread

logger = logging.getLogger(__name__)

GIB = 1 << 30
PURGE_SECONDS = 600.0
"""Between two looks for files whose time is over."""


class BatchService:
    """Owns the storage folder and the batches that run from it.

    Nothing is opened before it is needed. The folder of another running server answers every
    call with 503; it is taken over when that server has ended.
    """

    def __init__(self, root: Path, quota: float | None = None) -> None:
        """``quota`` bounds the files in ``root``, in GiB."""
        self._quota = None if quota is None else int(quota * GIB)
        self._thread = StorageThread(root)
        self._runner: BatchRunner | None = None
        self._opening = asyncio.Lock()
        self._is_open = False
        self._purging: asyncio.Task[None] | None = None
        self._model_name = ""

    async def start(
        self, execute: Execute, *, slots: int, model_name: str, is_model_strict: bool
    ) -> None:
        """Be ready for batches, and go on with those that an earlier server has left.

        Args:
            execute: Answers one line.
            slots: So many lines are answered at once.
            model_name: The model that is served.
            is_model_strict: Refuse lines that name another.
        """
        self._model_name = model_name
        self._runner = BatchRunner(
            self._thread, execute, slots=slots, model=model_name if is_model_strict else None
        )
        if self._thread.holds_something:
            try:
                await self._opened()
            except Exception as error:
                logger.warning("files and batches cannot be used: %s", error)

    async def stop(self) -> None:
        """Stop working, so that a later server can go on. Idempotent."""
        if self._purging is not None:
            self._purging.cancel()
        if self._runner is not None:
            await self._runner.stop()
        await self._thread.close()

    async def _opened(self) -> BatchRunner:
        """Open the storage, if it is not, and begin to work on its open batches."""
        assert self._runner is not None, "the service has not been started"
        async with self._opening:
            if not self._is_open:
                batches = await self._thread.call(lambda s: s.batches.open())
                for batch in batches:
                    logger.info("the batch %s goes on (%s)", batch.id, batch.status)
                    self._runner.start(batch.id)
                self._purging = asyncio.create_task(self._purge())
                self._is_open = True
        return self._runner

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_SECONDS)
            try:
                await self._thread.call(lambda s: s.purge(time.time()))
            except Exception:
                logger.exception("deleting expired files failed")

    # ------------------------------------------------------------------ files

    async def begin_upload(self, announced: int = 0) -> PendingUpload:
        """A new file, to be written and finished, or discarded; ``announced`` is its size.

        Raises:
            RequestError: 413, there is no room for so much.
        """
        await self._opened()
        quota = self._quota
        upload = await self._thread.call(lambda s: _begin(s.folder, announced, quota))
        return PendingUpload(self._thread, upload, quota)

    async def list_files(
        self, *, purpose: str | None, after: str | None, limit: int, order: Order
    ) -> tuple[list[FileRecord], bool]:
        """At most ``limit`` files by age, and whether there are more."""
        await self._opened()
        return await self._thread.call(
            lambda s: s.files.page(
                time.time(), purpose=purpose, after=after, limit=limit, order=order
            )
        )

    async def get_file(self, file_id: str) -> FileRecord:
        """The file; RequestError 404 if there is none."""
        await self._opened()
        return await self._thread.call(lambda s: s.files.get(file_id, time.time()))

    async def file_content(self, file_id: str) -> tuple[FileRecord, Path]:
        """A file and where its bytes are; RequestError 404 if there is none."""
        record = await self.get_file(file_id)
        return record, await self._thread.call(lambda s: s.folder.path(record.id))

    async def delete_file(self, file_id: str) -> None:
        """Delete a file; RequestError 404 if there is none, 409 if a batch reads it."""
        await self._opened()
        await self._thread.call(lambda s: s.delete_file(file_id, time.time()))

    # ------------------------------------------------------------------ batches

    async def create_batch(
        self,
        *,
        endpoint: str,
        input_file_id: str,
        completion_window: str,
        metadata: dict[str, str] | None,
        output_expires_seconds: int | None,
    ) -> Batch:
        """Accept a batch and begin to work on it.

        Raises:
            RequestError: the window or the file is wrong, or too many batches are open.
        """
        runner = await self._opened()
        now = int(time.time())
        batch = Batch(
            id=new_id("batch_"),
            endpoint=endpoint,
            input_file_id=input_file_id,
            completion_window=completion_window,
            created_at=now,
            expires_at=now + window_seconds(completion_window),
            model=self._model_name,
            output_file_id=new_id("file-"),
            error_file_id=new_id("file-"),
            metadata=metadata,
            output_expires_seconds=output_expires_seconds,
        )
        await self._thread.call(lambda s: s.create_batch(batch))
        runner.start(batch.id)
        return batch

    async def list_batches(self, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """At most ``limit`` batches, the youngest first, and whether there are more."""
        await self._opened()
        return await self._thread.call(lambda s: s.batches.page(after=after, limit=limit))

    async def get_batch(self, batch_id: str) -> Batch:
        """The batch; RequestError 404 if there is none."""
        await self._opened()
        return await self._thread.call(lambda s: s.batches.get(batch_id))

    async def cancel_batch(self, batch_id: str) -> Batch:
        """Ask for the end of a batch; RequestError 404 or, when it has ended, 409."""
        runner = await self._opened()
        batch = await self._thread.call(lambda s: s.batches.cancel(batch_id, time.time()))
        runner.cancel(batch_id)
        return batch


class PendingUpload:
    """A file while it comes in."""

    def __init__(self, thread: StorageThread, upload: Upload, quota: int | None) -> None:
        self._thread = thread
        self._upload = upload
        self._quota = quota

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._upload.size

    async def write(self, data: bytes) -> None:
        """Append to the file.

        Raises:
            RequestError: 507, the disk is full; 413, the quota is used up.
        """
        await self._on_disk(lambda: self._write(data))

    async def finish(
        self, filename: str, purpose: str, expires_after: int | None = None
    ) -> FileRecord:
        """Make the file known; it will survive a crash when this returns."""
        await self._on_disk(self._upload.finish)
        now = int(time.time())
        expires_at = None if expires_after is None else now + expires_after
        record = FileRecord(
            self._upload.file_id, filename, purpose, self._upload.size, now, expires_at
        )
        await self._thread.call(lambda s: s.files.insert(record))
        return record

    def _write(self, data: bytes) -> None:
        _check_quota(self._upload.folder, len(data), self._quota)
        self._upload.write(data)

    async def discard(self) -> None:
        """Leave nothing of it."""
        await asyncio.to_thread(self._upload.discard)

    @staticmethod
    async def _on_disk(function: Callable[[], None]) -> None:
        """Beside the storage's thread: nobody else knows of the file."""
        try:
            await asyncio.to_thread(function)
        except OSError as error:
            if is_full(error):
                raise disk_full() from None
            raise


def _begin(folder: StorageFolder, announced: int, quota: int | None) -> Upload:
    _check_quota(folder, announced, quota)
    return Upload(folder, new_id("file-"))


def _check_quota(folder: StorageFolder, more: int, quota: int | None) -> None:
    if quota is not None and folder.used_bytes() + more > quota:
        raise over_quota(quota)
