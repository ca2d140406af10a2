"""The database of the storage folder. Every change is on disk when its transaction ends."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sglang.srt.batches.folder import unavailable

VERSION = 2

_SCHEMA = """
CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    is_open INTEGER NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX open_batches ON batches (number) WHERE is_open;
-- The lines of the running batches that have no answer yet.
CREATE TABLE pending (
    batch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0, -- of the engine, while it worked on the line
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;
"""

_UPGRADES = {1: "ALTER TABLE pending ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0"}
"""Version of an earlier server -> what makes the present one of it."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that nobody shares, to be used from one thread.

    Raises:
        RequestError: it is no database of ours, or one of a later version.
    """
    db = sqlite3.connect(path, isolation_level=None)
    try:
        # Alone, so the log's index need not be shared memory, which some file systems lack.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        _bring_up(db, path)
    except sqlite3.Error as error:
        db.close()
        raise unavailable(f"the database {path} cannot be read: {error}") from None
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All changes of the block, or none."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


def _bring_up(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version not in (0, *_UPGRADES):
        raise unavailable(f"{path} is of version {version}; this server knows {VERSION}")
    with transaction(db):
        for statement in (_UPGRADES[version] if version else _SCHEMA).split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")
