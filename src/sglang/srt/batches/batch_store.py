"""The batches: what is to be done, what has been done, and how much of their files holds.

A line is pending until its result is in the output or error file, on disk, and the batch says
so: results are appended first and then, in one transaction, the lines stop being pending and the
batch's counts and file lengths grow. After a crash in between, the lines are pending and what
their results left in the files lies beyond the lengths, where the next write replaces it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from sglang.srt.batches.database import transaction
from sglang.srt.batches.file_store import FileStore
from sglang.srt.batches.folder import StorageFolder
from sglang.srt.batches.input_file import LineIndex
from sglang.srt.batches.records import Batch, FileRecord, LineError, LineResult
from sglang.srt.managers.errors import RequestError

MAX_OPEN_BATCHES = 1000
OUTPUT_PURPOSE = "batch_output"


class PendingLine(NamedTuple):
    """A line without an answer, and where it is in the input file, in bytes."""

    number: int
    offset: int
    length: int
    deaths: int = 0
    """So often has the engine died while it worked on the line."""


class BatchStore:
    """A row for each batch, and one for each pending line."""

    def __init__(self, db: sqlite3.Connection, folder: StorageFolder, files: FileStore) -> None:
        self._db = db
        self._folder = folder
        self._files = files

    def insert(self, batch: Batch) -> None:
        """Accept a batch.

        Raises:
            RequestError: 429, too many are open.
        """
        (count,) = self._db.execute("SELECT count(*) FROM batches WHERE is_open").fetchone()
        if count >= MAX_OPEN_BATCHES:
            raise RequestError(
                f"{count} batches are open; retry when one has ended",
                status=429,
                code="too_many_batches",
            )
        self._db.execute(
            "INSERT INTO batches (id, is_open, record) VALUES (?, 1, ?)",
            (batch.id, msgspec.json.encode(batch).decode()),
        )

    def get(self, batch_id: str) -> Batch:
        """The batch.

        Raises:
            RequestError: 404, there is none.
        """
        return self._find(batch_id)[1]

    def page(self, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """At most ``limit`` batches, the youngest first, and whether there are more.

        Raises:
            RequestError: there is no batch ``after``.
        """
        below = 1 << 62
        if after is not None:
            try:
                below, _ = self._find(after)
            except RequestError as error:
                raise RequestError(error.message, param="after") from None
        rows = self._db.execute(
            "SELECT record FROM batches WHERE number < ? ORDER BY number DESC LIMIT ?",
            (below, limit + 1),
        ).fetchall()
        return [_read(text) for (text,) in rows[:limit]], len(rows) > limit

    def open(self) -> Sequence[Batch]:
        """The batches that have not ended, the oldest first."""
        rows = self._db.execute("SELECT record FROM batches WHERE is_open ORDER BY number")
        return [_read(text) for (text,) in rows]

    # ------------------------------------------------------------------ the life of a batch

    def fail(self, batch_id: str, errors: Sequence[LineError], now: float) -> Batch:
        """End an open batch that cannot be run."""

        def change(batch: Batch) -> None:
            batch.advance("failed", now)
            batch.errors = [*errors]
            self._forget_pending(batch_id)

        return self._change(batch_id, change)

    def begin(self, batch_id: str, lines: LineIndex, now: float) -> Batch:
        """Let a batch run whose lines have been checked, unless it was cancelled meanwhile."""

        def change(batch: Batch) -> None:
            if batch.status == "validating":
                batch.advance("in_progress", now)
                batch.total = len(lines)
                self._db.executemany(
                    "INSERT INTO pending (batch, number, offset, length) VALUES (?, ?, ?, ?)",
                    ((number, *line) for line in lines),
                )

        number, _ = self._find(batch_id)
        return self._change(batch_id, change)

    def cancel(self, batch_id: str, now: float) -> Batch:
        """Ask for the end of a batch.

        Raises:
            RequestError: 404, there is none; 409, it has ended or is about to.
        """

        def change(batch: Batch) -> None:
            if batch.status in ("validating", "in_progress"):
                batch.advance("cancelling", now)
            elif batch.status not in ("cancelling", "cancelled"):
                raise RequestError(
                    f"the batch {batch_id} is {batch.status} and cannot be cancelled", status=409
                )

        return self._change(batch_id, change)

    def begin_finalizing(self, batch_id: str, now: float) -> Batch:
        """No line is being answered any more, and none will be."""

        def change(batch: Batch) -> None:
            if batch.status == "in_progress":
                batch.advance("finalizing", now)

        return self._change(batch_id, change)

    def finish(self, batch_id: str, now: float, *, is_expired: bool) -> Batch:
        """End a finalizing or cancelling batch: its files become visible."""
        batch = self.get(batch_id)
        self._folder.truncate(batch.output_file_id, batch.output_bytes)
        self._folder.truncate(batch.error_file_id, batch.error_bytes)

        def change(batch: Batch) -> None:
            if batch.status == "cancelling":
                batch.advance("cancelled", now)
            else:
                batch.advance("expired" if is_expired else "completed", now)
            self._insert_outputs(batch, int(now))
            self._forget_pending(batch_id)

        return self._change(batch_id, change)

    # ------------------------------------------------------------------ lines

    def pending(self, batch_id: str, after: int, limit: int) -> Sequence[PendingLine]:
        """The first ``limit`` lines beyond number ``after`` that have no answer."""
        rows = self._db.execute(
            "SELECT number, offset, length, deaths FROM pending WHERE number > ? "
            "AND batch = (SELECT number FROM batches WHERE id = ?) ORDER BY number LIMIT ?",
            (after, batch_id, limit),
        )
        return [PendingLine(*row) for row in rows]

    def suspects(self, batch_id: str) -> Sequence[PendingLine]:
        """The lines without an answer during which the engine has died."""
        rows = self._db.execute(
            "SELECT number, offset, length, deaths FROM pending WHERE deaths > 0 "
            "AND batch = (SELECT number FROM batches WHERE id = ?) ORDER BY number",
            (batch_id,),
        )
        return [PendingLine(*row) for row in rows]

    def note_death(self, batch_id: str, number: int) -> None:
        """The engine has died while it worked on a pending line."""
        self._db.execute(
            "UPDATE pending SET deaths = deaths + 1 WHERE number = ? "
            "AND batch = (SELECT number FROM batches WHERE id = ?)",
            (number, batch_id),
        )

    def record(self, batch_id: str, results: Sequence[LineResult]) -> None:
        """Keep the results of pending lines, for good when this returns."""
        row, batch = self._find(batch_id)
        successes = [result for result in results if result.is_success]
        failures = [result for result in results if not result.is_success]
        output_end = self._append(batch.output_file_id, batch.output_bytes, successes)
        error_end = self._append(batch.error_file_id, batch.error_bytes, failures)

        def change(batch: Batch) -> None:
            batch.output_bytes, batch.error_bytes = output_end, error_end
            batch.completed += len(successes)
            batch.failed += len(failures)
            batch.usage = sum((result.usage for result in results), start=batch.usage)
            numbers = [(row, result.number) for result in results]
            done = self._db.executemany(
                "DELETE FROM pending WHERE batch = ? AND number = ?", numbers
            )
            assert done.rowcount == len(results), "a line has been answered twice"

        self._change(batch_id, change)

    def _append(self, file_id: str, end: int, results: Sequence[LineResult]) -> int:
        if not results:
            return end
        return self._folder.append(file_id, end, b"".join(result.text for result in results))

    def _forget_pending(self, batch_id: str) -> None:
        self._db.execute(
            "DELETE FROM pending WHERE batch = (SELECT number FROM batches WHERE id = ?)",
            (batch_id,),
        )

    def _insert_outputs(self, batch: Batch, now: int) -> None:
        ends = None if batch.output_expires_seconds is None else now + batch.output_expires_seconds
        for kind, file_id, size in (
            ("output", batch.output_file_id, batch.output_bytes),
            ("error", batch.error_file_id, batch.error_bytes),
        ):
            if size:
                name = f"{batch.id}_{kind}.jsonl"
                self._files.insert(FileRecord(file_id, name, OUTPUT_PURPOSE, size, now, ends))

    def _find(self, batch_id: str) -> tuple[int, Batch]:
        row = self._db.execute(
            "SELECT number, record FROM batches WHERE id = ?", (batch_id,)
        ).fetchone()
        if row is None:
            raise RequestError(
                f"there is no batch {batch_id[:80]!r}",
                status=404,
                param="batch_id",
                code="batch_not_found",
            )
        return row[0], _read(row[1])

    def _change(self, batch_id: str, change: Callable[[Batch], None]) -> Batch:
        """Apply ``change``, which may write to the database itself, in one transaction."""
        with transaction(self._db):
            number, batch = self._find(batch_id)
            change(batch)
            self._db.execute(
                "UPDATE batches SET record = ?, is_open = ? WHERE number = ?",
                (msgspec.json.encode(batch).decode(), not batch.is_final, number),
            )
        return batch


def _read(text: str) -> Batch:
    return msgspec.json.decode(text, type=Batch)
