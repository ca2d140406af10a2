"""The files that clients have uploaded or may download."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from sglang.srt.batches.database import transaction
from sglang.srt.batches.folder import StorageFolder
from sglang.srt.batches.records import FileRecord
from sglang.srt.managers.errors import RequestError

Order = Literal["asc", "desc"]


class FileStore:
    """A row for each file, and its bytes in the folder. The row comes last and goes first."""

    def __init__(self, db: sqlite3.Connection, folder: StorageFolder) -> None:
        self._db = db
        self._folder = folder

    def insert(self, record: FileRecord) -> None:
        """Make known a file whose bytes are on disk; part of the caller's transaction if any."""
        self._db.execute(
            "INSERT INTO files (id, purpose, record) VALUES (?, ?, ?)",
            (record.id, record.purpose, msgspec.json.encode(record).decode()),
        )

    def get(self, file_id: str, now: float) -> FileRecord:
        """The file.

        Raises:
            RequestError: 404, there is none, or no more.
        """
        row = self._db.execute("SELECT record FROM files WHERE id = ?", (file_id,)).fetchone()
        record = _read(row[0]) if row else None
        if record is None or record.is_expired(now):
            raise _no_file(file_id)
        return record

    def page(
        self, now: float, *, purpose: str | None, after: str | None, limit: int, order: Order
    ) -> tuple[list[FileRecord], bool]:
        """At most ``limit`` files by age, and whether there are more.

        Raises:
            RequestError: there is no file ``after``.
        """
        comes_after, direction = (">", "ASC") if order == "asc" else ("<", "DESC")
        where, values = ["1"], list[str | int]()
        if after is not None:
            where.append(f"number {comes_after} ?")
            values.append(self._number(after))
        if purpose is not None:
            where.append("purpose = ?")
            values.append(purpose)
        rows = self._db.execute(
            f"SELECT record FROM files WHERE {' AND '.join(where)} ORDER BY number {direction}",
            values,
        )
        found: list[FileRecord] = []
        for (text,) in rows:
            record = _read(text)
            if record.is_expired(now):
                continue
            if len(found) == limit:
                return found, True
            found.append(record)
        return found, False

    def delete(self, file_id: str, now: float) -> None:
        """Forget a file and its bytes.

        Raises:
            RequestError: 404, there is none.
        """
        self.get(file_id, now)
        self._forget([file_id])

    def purge(self, now: float, keep: set[str]) -> None:
        """Delete the files whose time is over, but those to ``keep``."""
        records = [_read(text) for (text,) in self._db.execute("SELECT record FROM files")]
        self._forget([r.id for r in records if r.is_expired(now) and r.id not in keep])

    def all_ids(self) -> set[str]:
        return {file_id for (file_id,) in self._db.execute("SELECT id FROM files")}

    def _forget(self, file_ids: list[str]) -> None:
        with transaction(self._db):
            for file_id in file_ids:
                self._db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        for file_id in file_ids:
            self._folder.remove(file_id)

    def _number(self, file_id: str) -> int:
        row = self._db.execute("SELECT number FROM files WHERE id = ?", (file_id,)).fetchone()
        if row is None:
            raise RequestError(f"there is no file {file_id[:80]!r}", param="after")
        number: int = row[0]
        return number


def _read(text: str) -> FileRecord:
    return msgspec.json.decode(text, type=FileRecord)


def _no_file(file_id: str) -> RequestError:
    return RequestError(
        f"there is no file {file_id[:80]!r}", status=404, param="file_id", code="file_not_found"
    )
