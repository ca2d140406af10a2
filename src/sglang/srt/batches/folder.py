"""The storage folder: one server owns it, and what is reported as written survives a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from sglang.srt.managers.errors import RequestError

_LOCK = "lock"
_DATABASE = "storage.db"
_FILES = "files"
_FILE_ID = re.compile(r"file-[0-9a-f]{24}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Damaged(Exception):
    """Somebody else has changed what is in the folder."""


class StorageFolder:
    """A folder (mode 0700) with a lock, a database and the files (mode 0600) by their ids."""

    def __init__(self, root: Path) -> None:
        """Make the folder if need be, and take its lock.

        Raises:
            RequestError: another server has it, it holds something else, or the system refuses.
        """
        self._root = root
        try:
            _make_private(root)
            self._lock = _take_lock(root)
            try:
                (root / _FILES).mkdir(mode=0o700, exist_ok=True)
                os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
                _sync_names(root)
                _sync_names(root.parent)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise unavailable(f"the storage folder {root}: {error.strerror}") from None

    @property
    def database(self) -> Path:
        return self._root / _DATABASE

    def path(self, file_id: str) -> Path:
        """Where the bytes of a file are; ids are ours, so that this is always in the folder."""
        assert _FILE_ID.fullmatch(file_id), file_id
        return self._root / _FILES / file_id

    def open(self, file_id: str) -> BinaryIO:
        """A file to read.

        Raises:
            Damaged: it is not there.
        """
        try:
            return self.path(file_id).open("rb")
        except FileNotFoundError:
            raise _disappeared(file_id) from None

    def read(self, file_id: str, offset: int, length: int) -> bytes:
        """A piece of a file.

        Raises:
            Damaged: it is not there.
        """
        with self.open(file_id) as file:
            file.seek(offset)
            data = file.read(length)
        if len(data) < length:
            raise Damaged(f"the file {file_id} has become shorter")
        return data

    def append(self, file_id: str, end: int, data: bytes) -> int:
        """Replace what lies beyond ``end`` by ``data``; it is on disk when this returns.

        Returns the new end. The file is made if ``end`` is 0.

        Raises:
            Damaged: the file is shorter than ``end``.
        """
        path = self.path(file_id)
        flags = os.O_WRONLY | os.O_NOFOLLOW | (0 if end else os.O_CREAT)
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise _disappeared(file_id) from None
        try:
            if os.fstat(handle).st_size < end:
                raise Damaged(f"the file {file_id} is shorter than the {end} bytes written to it")
            os.ftruncate(handle, end)
            os.lseek(handle, end, os.SEEK_SET)
            write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        if not end:
            self.sync_names()
        return end + len(data)

    def truncate(self, file_id: str, end: int) -> None:
        """Cut off what lies beyond ``end``; nothing of a file that is empty then remains."""
        if end:
            self.append(file_id, end, b"")
        else:
            self.remove(file_id)

    def remove(self, file_id: str) -> None:
        """Delete a file if it is there."""
        self.path(file_id).unlink(missing_ok=True)

    def used_bytes(self) -> int:
        """What the files take, those included that are coming in or being written."""
        with os.scandir(self._root / _FILES) as entries:
            return sum(_size(entry) for entry in entries)

    def remove_all_but(self, wanted: Collection[str]) -> None:
        """Delete what a crash has left behind."""
        for name in os.listdir(self._root / _FILES):
            if name not in wanted and _FILE_ID.fullmatch(name):
                self.remove(name)

    def sync_names(self) -> None:
        """Have it on disk which files there are."""
        _sync_names(self._root / _FILES)

    def close(self) -> None:
        """Leave the folder to others."""
        os.close(self._lock)


class Upload:
    """A file while it comes in; nothing refers to it before it is finished."""

    def __init__(self, folder: StorageFolder, file_id: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        self._handle = os.open(folder.path(file_id), flags, 0o600)
        self.folder = folder
        self.file_id = file_id
        self.size = 0

    def write(self, data: bytes) -> None:
        write_all(self._handle, data)
        self.size += len(data)

    def finish(self) -> None:
        """Have it on disk."""
        os.fsync(self._handle)
        self._close()
        self.folder.sync_names()

    def discard(self) -> None:
        """Leave nothing of it."""
        self._close()
        self.folder.remove(self.file_id)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # it has just been deleted
        return 0


def is_storage(root: Path) -> bool:
    """Whether a server has stored something in the folder."""
    return (root / _DATABASE).is_file()


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data``. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def is_full(error: OSError) -> bool:
    """Whether the disk has no room."""
    return error.errno in _FULL


def _disappeared(file_id: str) -> Damaged:
    return Damaged(f"the file {file_id} has disappeared from the storage folder")


def disk_full() -> RequestError:
    """507: nothing more can be written."""
    return RequestError("the disk of the storage folder is full", status=507, code="disk_full")


def over_quota(quota: int) -> RequestError:
    """413: ``quota`` is in bytes."""
    return RequestError(
        f"the files of this server would take more than {quota} bytes (file_storage_quota); "
        "delete some",
        status=413,
        param="file",
        code="storage_quota_exceeded",
    )


def unavailable(message: str) -> RequestError:
    """503: the storage cannot be used."""
    return RequestError(message, status=503, code="storage_unavailable")


def _make_private(root: Path) -> None:
    """Make the folder, or close an existing one to others if it is empty or ours."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_storage(root) and any(entry.name not in (_LOCK, _FILES) for entry in root.iterdir()):
        raise unavailable(f"{root} holds other things; give --file-storage-pth an empty folder")
    if stat.S_IMODE(root.stat().st_mode) & 0o077:
        root.chmod(0o700)


def _sync_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_lock(root: Path) -> int:
    handle = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise unavailable(
            f"the storage folder {root} is in use by another server; "
            "give this one a folder of its own with --file-storage-pth"
        ) from None
    return handle
