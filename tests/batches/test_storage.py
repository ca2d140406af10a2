"""The storage folder: who may use it, files and batches in it."""

from __future__ import annotations

import io
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from storage_helpers import ENDPOINT, lines, make_batch, read_lines, store_file

from sglang.srt.batches import batch_store
from sglang.srt.batches.folder import Damaged, Upload
from sglang.srt.batches.input_file import scan
from sglang.srt.batches.records import LineResult, Usage, new_id, window_seconds
from sglang.srt.batches.storage import Storage
from sglang.srt.managers.errors import RequestError


@pytest.fixture
def root(fast_path: Path) -> Path:
    return fast_path / "parent" / "storage"


@pytest.fixture
def storage(root: Path) -> Iterator[Storage]:
    opened = Storage(root, time.time())
    yield opened
    opened.close()


def begin(storage: Storage, count: int) -> str:
    """A running batch of so many lines."""
    batch = make_batch(store_file(storage, lines(count)))
    storage.create_batch(batch)
    index, _ = scan(io.BytesIO(lines(count)), ENDPOINT, None)
    storage.batches.begin(batch.id, index, time.time())
    return batch.id


def result(number: int, *, success: bool = True) -> LineResult:
    return LineResult(number, b'{"line":%d}\n' % number, success, Usage(1, 2, 3, 4))


# ---------------------------------------------------------------------- the folder


def test_nobody_else_may_read_it(storage: Storage, root: Path) -> None:
    store_file(storage, b"secret")
    for path in [root, *root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_empty_folder_of_ours_is_closed_to_others(root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o755)
    Storage(root, time.time()).close()
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_folder_with_other_things_is_left_alone(root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o755)
    (root / "thesis.txt").write_text("x")
    with pytest.raises(RequestError, match="holds other things") as caught:
        Storage(root, time.time())
    assert caught.value.status == 503
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert [path.name for path in root.iterdir()] == ["thesis.txt"]


def test_a_folder_is_used_by_one_at_a_time(storage: Storage, root: Path) -> None:
    with pytest.raises(RequestError, match="in use by another server") as caught:
        Storage(root, time.time())
    assert caught.value.status == 503
    storage.close()
    Storage(root, time.time()).close()


def test_a_folder_that_cannot_be_made(fast_path: Path) -> None:
    (fast_path / "file").touch()
    with pytest.raises(RequestError, match="Not a directory"):
        Storage(fast_path / "file" / "storage", time.time())


def test_a_damaged_database_is_told(storage: Storage, root: Path) -> None:
    storage.close()
    (root / "storage.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(RequestError, match="cannot be read") as caught:
        Storage(root, time.time())
    assert caught.value.status == 503


def test_a_database_of_a_later_version_is_left_alone(storage: Storage, root: Path) -> None:
    storage.close()
    with sqlite3.connect(root / "storage.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(RequestError, match="version 99"):
        Storage(root, time.time())


@pytest.mark.parametrize("name", ["../../etc/passwd", "file-../../../../../x", "file-é", ""])
def test_names_from_outside_never_become_paths(storage: Storage, name: str) -> None:
    with pytest.raises(AssertionError):
        storage.folder.path(name)
    with pytest.raises(RequestError, match="there is no file"):
        storage.files.get(name, time.time())


# ---------------------------------------------------------------------- files


def test_what_interrupted_uploads_leave_is_deleted(storage: Storage, root: Path) -> None:
    kept = store_file(storage, b"kept")
    Upload(storage.folder, new_id("file-")).write(b"half a fi")
    storage.close()
    Storage(root, time.time()).close()
    assert [path.name for path in (root / "files").iterdir()] == [kept]


def test_files_expire(storage: Storage, root: Path) -> None:
    now = time.time()
    brief = store_file(storage, b"x", expires_at=int(now) + 10)
    lasting = store_file(storage, b"x")
    assert storage.files.get(brief, now).id == brief
    with pytest.raises(RequestError, match="there is no file"):
        storage.files.get(brief, now + 11)
    found, _ = storage.files.page(now + 11, purpose=None, after=None, limit=9, order="asc")
    assert [record.id for record in found] == [lasting]
    storage.purge(now + 11)
    assert [path.name for path in (root / "files").iterdir()] == [lasting]


def test_an_expired_file_stays_while_a_batch_reads_it(storage: Storage) -> None:
    now = time.time()
    file_id = store_file(storage, lines(1), expires_at=int(now) + 10)
    batch = make_batch(file_id)
    storage.create_batch(batch)
    storage.purge(now + 11)
    assert storage.folder.path(file_id).exists()
    storage.batches.fail(batch.id, [], now)
    storage.purge(now + 11)
    assert not storage.folder.path(file_id).exists()


def test_the_input_of_an_open_batch_cannot_be_deleted(storage: Storage) -> None:
    file_id = store_file(storage, lines(1))
    batch = make_batch(file_id)
    storage.create_batch(batch)
    with pytest.raises(RequestError, match=batch.id) as caught:
        storage.delete_file(file_id, time.time())
    assert caught.value.status == 409
    storage.batches.fail(batch.id, [], time.time())
    storage.delete_file(file_id, time.time())
    assert not storage.folder.path(file_id).exists()


# ---------------------------------------------------------------------- batches


def test_results_go_to_their_files_and_are_counted(storage: Storage) -> None:
    batch_id = begin(storage, 3)
    storage.batches.record(batch_id, [result(2), result(1, success=False)])
    storage.batches.record(batch_id, [result(3)])
    storage.batches.begin_finalizing(batch_id, time.time())
    batch = storage.batches.finish(batch_id, time.time(), is_expired=False)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 3, 2, 1)
    assert batch.usage == Usage(3, 6, 9, 12)
    assert read_lines(storage.folder.path(batch.output_file_id)) == [{"line": 2}, {"line": 3}]
    assert read_lines(storage.folder.path(batch.error_file_id)) == [{"line": 1}]
    output = storage.files.get(batch.output_file_id, time.time())
    assert (output.purpose, output.bytes) == ("batch_output", 22)


def test_what_an_unfinished_write_left_is_replaced(storage: Storage) -> None:
    batch_id = begin(storage, 2)
    storage.batches.record(batch_id, [result(1)])
    path = storage.folder.path(storage.batches.get(batch_id).output_file_id)
    with path.open("ab") as file:
        file.write(b'{"line":2,"cut o')
    storage.batches.record(batch_id, [result(2)])
    assert read_lines(path) == [{"line": 1}, {"line": 2}]


def test_what_an_unfinished_write_left_is_cut_off_at_the_end(storage: Storage) -> None:
    batch_id = begin(storage, 2)
    storage.batches.record(batch_id, [result(1), result(2)])
    batch = storage.batches.get(batch_id)
    for file_id in (batch.output_file_id, batch.error_file_id):
        with storage.folder.path(file_id).open("ab") as file:
            file.write(b'{"line":2,"cut o')
    storage.batches.begin_finalizing(batch_id, time.time())
    storage.batches.finish(batch_id, time.time(), is_expired=False)
    output = storage.folder.path(batch.output_file_id)
    assert read_lines(output) == [{"line": 1}, {"line": 2}]
    assert not storage.folder.path(batch.error_file_id).exists()


def test_a_line_has_one_result_only(storage: Storage) -> None:
    batch_id = begin(storage, 2)
    storage.batches.record(batch_id, [result(1)])
    with pytest.raises(AssertionError):
        storage.batches.record(batch_id, [result(2), result(1)])
    assert [line.number for line in storage.batches.pending(batch_id, 0, 9)] == [2]


def test_an_output_file_that_has_shrunk_is_noticed(storage: Storage) -> None:
    batch_id = begin(storage, 2)
    storage.batches.record(batch_id, [result(1)])
    path = storage.folder.path(storage.batches.get(batch_id).output_file_id)
    path.write_bytes(b"")
    with pytest.raises(Damaged, match="shorter"):
        storage.batches.record(batch_id, [result(2)])
    path.unlink()
    with pytest.raises(Damaged, match="disappeared"):
        storage.batches.record(batch_id, [result(2)])


def test_batches_without_answers_have_no_files(storage: Storage, root: Path) -> None:
    batch_id = begin(storage, 2)
    storage.batches.cancel(batch_id, time.time())
    batch = storage.batches.finish(batch_id, time.time(), is_expired=False)
    assert batch.status == "cancelled"
    assert [path.name for path in (root / "files").iterdir()] == [batch.input_file_id]


def test_output_files_expire_if_asked_to(storage: Storage) -> None:
    file_id = store_file(storage, lines(1))
    batch = make_batch(file_id, output_expires_seconds=3600)
    storage.create_batch(batch)
    index, _ = scan(io.BytesIO(lines(1)), ENDPOINT, None)
    storage.batches.begin(batch.id, index, 0)
    storage.batches.record(batch.id, [result(1)])
    storage.batches.begin_finalizing(batch.id, 100)
    storage.batches.finish(batch.id, 100, is_expired=False)
    assert storage.files.get(batch.output_file_id, 200).expires_at == 3700


def test_cancelling_is_for_open_batches(storage: Storage) -> None:
    batch_id = begin(storage, 1)
    assert storage.batches.cancel(batch_id, 5).cancelling_at == 5
    assert storage.batches.cancel(batch_id, 9).cancelling_at == 5
    storage.batches.finish(batch_id, 10, is_expired=False)
    assert storage.batches.cancel(batch_id, 11).status == "cancelled"
    done = begin(storage, 1)
    storage.batches.fail(done, [], 0)
    with pytest.raises(RequestError, match="is failed") as caught:
        storage.batches.cancel(done, 0)
    assert caught.value.status == 409


def test_too_many_open_batches(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_store, "MAX_OPEN_BATCHES", 1)
    batch_id = begin(storage, 1)
    with pytest.raises(RequestError, match="1 batches are open") as caught:
        begin(storage, 1)
    assert caught.value.status == 429
    storage.batches.fail(batch_id, [], 0)
    begin(storage, 1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("30d", 30 * 86400), ("15m", 900), ("1s", 1)]
)
def test_windows(text: str, seconds: int) -> None:
    assert window_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "24", "h", "0h", "-1h", "31d", "1.5h", "24 h", "1w", "٣h", "99999999h", "24h\n"]
)
def test_bad_windows(text: str) -> None:
    with pytest.raises(RequestError, match="completion_window"):
        window_seconds(text)
