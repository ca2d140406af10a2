"""A line that kills the engine does so a few times, and then no more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from service_helpers import Model, custom_ids, ended, failures, output, serving, submit
from storage_helpers import ENDPOINT, lines

from sglang.srt.batches import database
from sglang.srt.batches.result_lines import LineAnswer
from sglang.srt.batches.runner import MAX_DEATHS
from sglang.srt.managers.errors import RequestError


class Fragile(Model):  # type: ignore[misc]
    """Its engine dies of one prompt, and takes along what it is working on."""

    def __init__(self, poison: str) -> None:
        super().__init__()
        self.poison = poison
        self.died = asyncio.Event()

    async def execute(self, endpoint: str, body: bytes) -> LineAnswer:
        was_alive = not self.died.is_set()
        prompt = json.loads(body)["messages"][0]["content"]
        self.seen.append(prompt)
        if prompt == self.poison:
            self.died.set()
        await asyncio.sleep(0.01)
        if not self.died.is_set():
            return LineAnswer(200, b'{"usage": {}}', "id")
        return LineAnswer(503, b"{}", "id", engine_died=was_alive)


async def run_until_death(root: Path, poison: str, count: int) -> Fragile | None:
    """One server after another; None once the batch has ended."""
    model = Fragile(poison)
    async with serving(root, model) as service:
        batches, _ = await service.list_batches(after=None, limit=1)
        id = batches[0].id if batches else (await submit(service, lines(count))).id
        death = asyncio.create_task(model.died.wait())
        end = asyncio.create_task(ended(service, id))
        await asyncio.wait({death, end}, return_when=asyncio.FIRST_COMPLETED)
        # The server has a moment to write down what has happened.
        await asyncio.sleep(0.1 if death.done() else 0)
        has_ended = end.done()
        death.cancel()
        end.cancel()
    return None if has_ended else model


async def test_a_deadly_line_fails_and_all_others_are_answered(fast_path: Path) -> None:
    deaths = 0
    while await run_until_death(fast_path, "say r2", 8) is not None:
        deaths += 1
        assert deaths <= MAX_DEATHS
    assert deaths == MAX_DEATHS
    async with serving(fast_path, Model()) as service:
        [batch], _ = await service.list_batches(after=None, limit=1)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 7, 1)
    [failure] = failures(fast_path, batch)
    assert failure["custom_id"] == "r2"
    assert failure["error"]["code"] == "engine_died"
    assert f"{MAX_DEATHS} times" in failure["error"]["message"]
    assert len(custom_ids(output(fast_path, batch))) == 7


async def test_suspects_run_one_by_one(fast_path: Path) -> None:
    await run_until_death(fast_path, "say r3", 4)
    model = Model()
    model.gate.clear()
    async with serving(fast_path, model) as service:
        while not model.seen:
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)
        assert model.running == 1
        model.gate.set()
        [batch], _ = await service.list_batches(after=None, limit=1)
        assert (await ended(service, batch.id)).completed == 4


async def test_a_restart_alone_blames_nobody(fast_path: Path) -> None:
    for _ in range(MAX_DEATHS + 1):
        model = Model()
        model.gate.clear()
        async with serving(fast_path, model) as service:
            if not (await service.list_batches(after=None, limit=1))[0]:
                await submit(service, lines(2))
            while not model.seen:
                await asyncio.sleep(0.002)
    async with serving(fast_path, Model()) as service:
        [batch], _ = await service.list_batches(after=None, limit=1)
        assert (await ended(service, batch.id)).completed == 2


def test_the_database_of_an_earlier_server_is_taken_over(fast_path: Path) -> None:
    fast_path.mkdir(exist_ok=True)
    path = fast_path / "storage.db"
    old = sqlite3.connect(path)
    old.executescript(
        database._SCHEMA.replace("deaths INTEGER NOT NULL DEFAULT 0,", "")
        + "INSERT INTO pending VALUES (1, 1, 0, 5); PRAGMA user_version=1;"
    )
    old.close()
    db = database.connect(path)
    assert db.execute("SELECT number, deaths FROM pending").fetchall() == [(1, 0)]
    db.close()


async def test_uploads_end_at_the_quota(fast_path: Path) -> None:
    quota = 1000 / (1 << 30)
    async with serving(fast_path, Model(), quota=quota) as service:
        upload = await service.begin_upload()
        await upload.write(b"x" * 900)
        file = await upload.finish("a", "user_data")
        with pytest.raises(RequestError, match="more than 1000 bytes") as caught:
            await service.begin_upload(101)
        assert (caught.value.status, caught.value.code) == (413, "storage_quota_exceeded")
        upload = await service.begin_upload()
        with pytest.raises(RequestError, match="file_storage_quota"):
            await upload.write(b"x" * 101)
        await upload.discard()
        await service.delete_file(file.id)
        upload = await service.begin_upload(1000)
        await upload.write(b"x" * 1000)
        await upload.finish("b", "user_data")


async def test_two_uploads_share_the_quota(fast_path: Path) -> None:
    async with serving(fast_path, Model(), quota=1000 / (1 << 30)) as service:
        first, second = await service.begin_upload(600), await service.begin_upload(600)
        await first.write(b"x" * 600)
        with pytest.raises(RequestError, match="file_storage_quota"):
            await second.write(b"x" * 600)
        await first.discard()
        await second.discard()


async def test_what_batches_write_is_never_refused(fast_path: Path) -> None:
    size = len(lines(4))
    async with serving(fast_path, Model(), quota=(size + 10) / (1 << 30)) as service:
        batch = await ended(service, (await submit(service, lines(4))).id)
    assert (batch.status, batch.endpoint) == ("completed", ENDPOINT)
