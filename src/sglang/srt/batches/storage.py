"""Everything in the storage folder: what one thread of one server works on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from sglang.srt.batches.batch_store import BatchStore
from sglang.srt.batches.database import connect
from sglang.srt.batches.file_store import FileStore
from sglang.srt.batches.folder import StorageFolder
from sglang.srt.batches.records import Batch
from sglang.srt.managers.errors import RequestError


class Storage:
    """An open storage folder. Every method is done, on disk, when it returns."""

    def __init__(self, root: Path, now: float) -> None:
        """Open the folder and tidy up what a crash has left.

        Raises:
            RequestError: 503, it cannot be used.
        """
        with ExitStack() as undo:
            self.folder = StorageFolder(root)
            undo.callback(self.folder.close)
            db = connect(self.folder.database)
            undo.callback(db.close)
            self.files = FileStore(db, self.folder)
            self.batches = BatchStore(db, self.folder, self.files)
            self._tidy(now)
            self._closing = undo.pop_all()

    def close(self) -> None:
        """Leave the folder to others. Idempotent."""
        self._closing.close()

    def delete_file(self, file_id: str, now: float) -> None:
        """Delete a file that no batch is reading.

        Raises:
            RequestError: 404, there is none; 409, a batch needs it.
        """
        for batch in self.batches.open():
            if batch.input_file_id == file_id:
                raise RequestError(
                    f"the file {file_id} is the input of the batch {batch.id}, which is "
                    f"{batch.status}; cancel it first",
                    status=409,
                    param="file_id",
                    code="file_in_use",
                )
        self.files.delete(file_id, now)

    def create_batch(self, batch: Batch) -> None:
        """Accept a batch.

        Raises:
            RequestError: its input is no file for batches, or too many batches are open.
        """
        try:
            file = self.files.get(batch.input_file_id, batch.created_at)
        except RequestError as error:
            raise RequestError(error.message, param="input_file_id", code=error.code) from None
        if file.purpose != "batch":
            raise RequestError(
                f"the file {file.id} has the purpose {file.purpose!r}; it must be 'batch'",
                param="input_file_id",
            )
        self.batches.insert(batch)

    def _tidy(self, now: float) -> None:
        """Delete the files that nobody can know of: those of interrupted uploads and deletions."""
        self.purge(now)
        written = [id for b in self.batches.open() for id in (b.output_file_id, b.error_file_id)]
        self.folder.remove_all_but(self.files.all_ids().union(written))

    def purge(self, now: float) -> None:
        """Delete the files whose time is over and which no batch reads."""
        self.files.purge(now, keep={batch.input_file_id for batch in self.batches.open()})
