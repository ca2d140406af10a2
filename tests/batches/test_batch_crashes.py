"""A crash at any moment neither loses nor repeats a finished line."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crashes import Camera
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_helpers import ENDPOINT, FAST, lines, make_batch, read_lines, store_file

from sglang.srt.batches.input_file import scan
from sglang.srt.batches.records import Batch, LineResult, Usage
from sglang.srt.batches.storage import Storage
from sglang.srt.managers.errors import RequestError


class Worker:
    """Works on a batch as the runner does, and remembers what it was told to be finished."""

    def __init__(self, batch_id: str, groups: Sequence[int], name: int) -> None:
        self.batch_id = batch_id
        self.finished: list[str] = []
        """The texts of the results that are kept for good."""
        self._groups = groups
        self._name = name

    def work(self, storage: Storage) -> None:
        batches, now = storage.batches, time.time()
        batch = batches.get(self.batch_id)
        if batch.status == "validating":
            with storage.folder.open(batch.input_file_id) as file:
                index, _ = scan(file, ENDPOINT, None)
            batches.begin(batch.id, index, now)
        for turn in range(1000):
            size = self._groups[turn % len(self._groups)]
            # Not in the order of the file.
            page = batches.pending(batch.id, 0, size + 2)[-size:]
            if not page:
                break
            results = [self._result(line.number) for line in page]
            batches.record(batch.id, results)
            self.finished += [result.text.decode() for result in results]
        batch = batches.begin_finalizing(batch.id, now)
        if not batch.is_final:
            batches.finish(batch.id, now, is_expired=False)

    def _result(self, number: int) -> LineResult:
        text = json.dumps({"line": number, "by": self._name}) + "\n"
        # A line that is run again may end otherwise.
        is_success = (number + self._name) % 3 > 0
        return LineResult(number, text.encode(), is_success, Usage(output_tokens=1))


@contextmanager
def photographed(
    root: Path, copy: Path, at_event: int, power_failure: bool
) -> Iterator[tuple[Storage, Camera]]:
    camera = Camera(root, copy, at_event, power_failure=power_failure)
    with pytest.MonkeyPatch.context() as monkeypatch:
        camera.install(monkeypatch)
        storage = Storage(root, time.time())
        try:
            yield storage, camera
        finally:
            storage.close()


def check(storage: Storage, batch: Batch, count: int, promised: Sequence[str]) -> None:
    """The finished batch has every line once, and those that were promised as they were."""
    paths = [storage.folder.path(i) for i in (batch.output_file_id, batch.error_file_id)]
    successes, failures = (read_lines(path) for path in paths)
    assert Counter(x["line"] for x in successes + failures) == Counter(range(1, count + 1))
    text = "".join(path.read_text() for path in paths if path.exists())
    assert set(promised) <= set(text.splitlines(keepends=True))
    assert (batch.completed, batch.failed) == (len(successes), len(failures))
    assert batch.usage.output_tokens == count
    assert batch.status == "completed"
    for path, data in zip(paths, (successes, failures), strict=True):
        if data:
            assert storage.files.get(path.name, time.time()).bytes == path.stat().st_size


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 9),
    groups=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    crashes=st.lists(st.tuples(st.integers(1, 70), st.booleans()), min_size=1, max_size=3),
)
def test_a_batch_survives_crashes(
    count: int, groups: list[int], crashes: list[tuple[int, bool]]
) -> None:
    with TemporaryDirectory(dir=FAST) as folder:
        root = Path(folder) / "0"
        storage = Storage(root, time.time())
        batch = make_batch(store_file(storage, lines(count)))
        storage.create_batch(batch)
        storage.close()
        promised: list[str] = []
        for number, (event, power_failure) in enumerate(crashes, start=1):
            copy = Path(folder) / str(number)
            worker = Worker(batch.id, groups, number)
            with photographed(root, copy, event, power_failure) as (storage, camera):
                known: list[str] = []
                camera.on_photograph = lambda w=worker, k=known: k.extend(w.finished)
                worker.work(storage)
                camera.photograph()
            promised += known
            root = copy
        storage = Storage(root, time.time())
        Worker(batch.id, groups, 0).work(storage)
        check(storage, storage.batches.get(batch.id), count, promised)
        storage.close()


@pytest.mark.parametrize("power_failure", [False, True])
def test_an_upload_is_whole_or_was_never_there(fast_path: Path, power_failure: bool) -> None:
    data = lines(3)
    events, outcomes = 1, set()
    event = 0
    while event < events:
        event += 1
        root, copy = fast_path / f"{event}", fast_path / f"{event} crashed"
        uploaded: list[str] = []
        known: list[str] = []
        with photographed(root, copy, event, power_failure) as (storage, camera):
            camera.on_photograph = lambda u=uploaded, k=known: k.extend(u)
            uploaded.append(store_file(storage, data))
            events = camera.events + 1
            camera.photograph()
        storage = Storage(copy, time.time())
        try:
            record = storage.files.get(uploaded[0], time.time())
        except RequestError:
            assert not known
            assert not storage.folder.path(uploaded[0]).exists()
            outcomes.add("absent")
        else:
            assert record.bytes == len(data)
            assert storage.folder.path(uploaded[0]).read_bytes() == data
            outcomes.add("there")
        storage.close()
    assert outcomes == {"absent", "there"}


def test_a_crash_while_deleting_leaves_nothing_behind(fast_path: Path) -> None:
    events, event = 1, 0
    while event < events:
        event += 1
        root, copy = fast_path / f"{event}", fast_path / f"{event} crashed"
        storage = Storage(root, time.time())
        file_id = store_file(storage, b"x")
        storage.close()
        with photographed(root, copy, event, False) as (storage, camera):
            storage.delete_file(file_id, time.time())
            events = camera.events
            camera.photograph()
        storage = Storage(copy, time.time())
        is_known = file_id in storage.files.all_ids()
        assert storage.folder.path(file_id).exists() == is_known
        storage.close()
    assert events > 5
