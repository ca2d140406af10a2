"""A disk that is photographed in the middle of the work, as a crash would leave it.

The functions with which the storage folder writes are replaced. Every call of them and every SQL
statement is an event; at a given event the folder is copied, and the work goes on undisturbed.
The copy is what a kill -9 at that moment leaves. For a power failure, the copy loses what was not
yet synchronised: the tail of files, or the files whose names were not.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sglang.srt.batches import database, folder

GARBAGE = b'\0{"cust'


class Camera:
    """Counts events and copies the folder at one of them."""

    def __init__(self, root: Path, copy: Path, at_event: int, *, power_failure: bool) -> None:
        self.events = 0
        self.on_photograph: Callable[[], None] = lambda: None
        self._root = root
        self._copy = copy
        self._at_event = at_event
        self._power_failure = power_failure
        # What is there already has long been synchronised.
        there = list((root / "files").iterdir()) if root.exists() else []
        self._synced_bytes = {path.name: path.stat().st_size for path in there}
        self._synced_names = set(self._synced_bytes)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        functions = {name: getattr(os, name) for name in dir(os)}
        functions.update(write=self._write, fsync=self._fsync, ftruncate=self._ftruncate)
        monkeypatch.setattr(folder, "os", SimpleNamespace(**functions))
        monkeypatch.setattr(
            database, "sqlite3", SimpleNamespace(**{**vars(sqlite3), "connect": self._connect})
        )

    def event(self) -> None:
        self.events += 1
        if self.events == self._at_event:
            self.photograph()

    def photograph(self) -> None:
        """Crash now, unless there has been a crash."""
        if not self._copy.exists():
            self.on_photograph()
            shutil.copytree(self._root, self._copy)
            if self._power_failure:
                self._lose_what_is_not_synced()

    def _write(self, handle: int, data: memoryview) -> int:
        self.event()
        # The system may write less than it is asked to.
        written = os.write(handle, data[: max(1, len(data) // 2)])
        self.event()
        return written

    def _fsync(self, handle: int) -> None:
        self.event()
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path == self._root / "files":
            self._synced_names = set(os.listdir(path))
        elif path.is_file():
            self._synced_bytes[path.name] = os.fstat(handle).st_size
        self.event()

    def _ftruncate(self, handle: int, size: int) -> None:
        self.event()
        os.ftruncate(handle, size)

    def _connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        db = sqlite3.connect(*args, **options)
        db.set_trace_callback(lambda _: self.event())
        return db

    def _lose_what_is_not_synced(self) -> None:
        for path in (self._copy / "files").iterdir():
            synced = self._synced_bytes.get(path.name, 0)
            data = path.read_bytes()
            if path.name not in self._synced_names:
                path.unlink()
            elif len(data) > synced:
                path.write_bytes(data[:synced] + GARBAGE)
