"""Running batches: order, bounds, cancelling, expiry, restarts."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import pytest
from service_helpers import (
    Model,
    custom_ids,
    ended,
    failures,
    output,
    serving,
    submit,
    until,
    wait_for,
)
from storage_helpers import line, lines

from sglang.srt.batches import folder as folder_module
from sglang.srt.batches import runner
from sglang.srt.managers.errors import RequestError


def names(count: int) -> Counter[str]:
    return Counter(f"r{i}" for i in range(count))


async def test_every_line_is_answered_once(fast_path: Path) -> None:
    model = Model()
    async with serving(fast_path, model) as service:
        batch = await ended(service, (await submit(service, lines(200))).id)
    assert (batch.status, batch.total, batch.completed, batch.failed) == ("completed", 200, 200, 0)
    assert custom_ids(output(fast_path, batch)) == names(200)
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (600, 400)
    first = output(fast_path, batch)[0]
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    assert first["response"]["body"]["said"] == f"say {first['custom_id']}"
    assert not (fast_path / "files" / batch.error_file_id).exists()


async def test_lines_that_are_refused_go_to_the_error_file(fast_path: Path) -> None:
    model = Model()
    model.statuses = {"say r1": [400], "say r2": [500]}
    async with serving(fast_path, model) as service:
        batch = await ended(service, (await submit(service, lines(4))).id)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 2, 2)
    by_id = {item["custom_id"]: item["response"] for item in failures(fast_path, batch)}
    assert {name: item["status_code"] for name, item in by_id.items()} == {"r1": 400, "r2": 500}
    assert by_id["r1"]["body"] == {"error": "no"}


async def test_a_busy_engine_is_asked_again(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MAX_BUSY_SECONDS", 0.001)
    monkeypatch.setattr(runner, "MIN_BUSY_SECONDS", 0.001)
    model = Model()
    model.statuses = {"say r0": [429, 503, 429]}
    async with serving(fast_path, model) as service:
        batch = await ended(service, (await submit(service, lines(2))).id)
    assert (batch.completed, batch.failed) == (2, 0)
    assert model.seen.count("say r0") == 4


async def test_all_batches_share_the_slots(fast_path: Path) -> None:
    model = Model()
    model.gate.clear()
    async with serving(fast_path, model, slots=3) as service:
        first = await submit(service, lines(60))
        await wait_for(lambda: model.running == 3)
        second = await submit(service, lines(20).replace(b"say", b"tell"))
        await until(service, second.id, lambda batch: batch.status == "in_progress")
        model.gate.set()
        await ended(service, first.id)
        await ended(service, second.id)
    assert model.most_running == 3
    # The second does not wait for the end of the first.
    assert "tell r0" in model.seen[:60]


async def test_a_file_with_errors_fails_its_batch(fast_path: Path) -> None:
    model = Model()
    data = f"{line('a')}\n{line('a')}\nx\n".encode()
    async with serving(fast_path, model) as service:
        batch = await ended(service, (await submit(service, data)).id)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    codes = [(error.code, error.line) for error in batch.errors]
    assert codes == [("duplicate_custom_id", 2), ("invalid_json_line", 3)]
    assert model.seen == []


async def test_cancelling_stops_lines_and_keeps_answers(fast_path: Path) -> None:
    model = Model()
    async with serving(fast_path, model, slots=2) as service:
        batch = await submit(service, lines(500))
        await until(service, batch.id, lambda batch: batch.completed > 0)
        model.gate.clear()
        await wait_for(lambda: model.running == 2)
        cancelled = await service.cancel_batch(batch.id)
        assert cancelled.status == "cancelling"
        batch = await ended(service, batch.id)
        assert model.running == 0
    assert batch.status == "cancelled"
    assert 0 < batch.completed < 500
    found = custom_ids(output(fast_path, batch))
    assert len(found) == found.total() == batch.completed


async def test_lines_that_come_too_late_get_an_error(fast_path: Path) -> None:
    model = Model()
    model.gate.clear()
    async with serving(fast_path, model, slots=2) as service:
        batch = await ended(service, (await submit(service, lines(150), window="1s")).id)
        assert model.running == 0
    assert (batch.status, batch.completed, batch.failed) == ("expired", 0, 150)
    late = failures(fast_path, batch)
    assert custom_ids(late) == names(150)
    assert {item["error"]["code"] for item in late} == {"batch_expired"}
    assert late[0]["response"] is None


async def test_a_batch_goes_on_after_a_restart(fast_path: Path) -> None:
    model = Model()
    async with serving(fast_path, model, slots=2) as service:
        batch = await submit(service, lines(50))
        await until(service, batch.id, lambda batch: batch.completed > 5)
        model.gate.clear()
        await wait_for(lambda: model.running == 2)
    before = output(fast_path, batch)
    assert 5 < len(before) < 50
    second = Model()
    async with serving(fast_path, second) as service:
        batch = await ended(service, batch.id)
    assert (batch.status, batch.completed) == ("completed", 50)
    assert output(fast_path, batch)[: len(before)] == before
    assert custom_ids(output(fast_path, batch)) == names(50)
    assert len(second.seen) == 50 - len(before)


async def test_a_cancelled_batch_stays_so_after_a_restart(fast_path: Path) -> None:
    model = Model()
    model.gate.clear()
    async with serving(fast_path, model) as service:
        batch = await submit(service, lines(9))
        await until(service, batch.id, lambda batch: batch.status == "in_progress")
        await service._thread.call(lambda s: s.batches.cancel(batch.id, 0))
    async with serving(fast_path, second := Model()) as service:
        assert (await ended(service, batch.id)).status == "cancelled"
    assert second.seen == []


async def test_a_second_server_is_refused_until_the_first_ends(fast_path: Path) -> None:
    model = Model()
    model.gate.clear()
    async with serving(fast_path, second := Model()) as waiting:
        async with serving(fast_path, model) as service:
            batch = await submit(service, lines(3))
            with pytest.raises(RequestError, match="in use by another server") as caught:
                await waiting.get_batch(batch.id)
            assert caught.value.status == 503
        assert (await ended(waiting, batch.id)).completed == 3
    assert len(second.seen) == 3


async def test_nothing_is_made_before_it_is_needed(fast_path: Path) -> None:
    root = fast_path / "storage"
    async with serving(root, Model()) as service:
        assert not root.exists()
        assert await service.list_batches(after=None, limit=1) == ([], False)
        assert root.exists()


async def test_a_full_disk_delays_a_batch_and_refuses_uploads(
    fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.01)
    model = Model()
    model.gate.clear()
    is_full = True
    write_all = folder_module.write_all

    def write(handle: int, data: bytes) -> None:
        if is_full:
            write_all(handle, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(handle, data)

    async with serving(fast_path, model, slots=3) as service:
        batch = await submit(service, lines(20))
        await wait_for(lambda: model.running == 3)
        monkeypatch.setattr(folder_module, "write_all", write)
        model.gate.set()
        await wait_for(lambda: len(model.seen) > 10)
        with pytest.raises(RequestError, match="full") as caught:
            await submit(service, lines(1))
        assert caught.value.status == 507
        is_full = False
        batch = await ended(service, batch.id)
    assert batch.status == "completed"
    assert custom_ids(output(fast_path, batch)) == names(20)


async def test_a_batch_whose_files_were_taken_away_fails(fast_path: Path) -> None:
    model = Model()
    model.gate.clear()
    async with serving(fast_path, model, slots=1) as service:
        batch = await submit(service, lines(9))
        await wait_for(lambda: model.running == 1)
        (fast_path / "files" / batch.input_file_id).unlink()
        model.gate.set()
        batch = await ended(service, batch.id)
    assert batch.status == "failed"
    assert [error.code for error in batch.errors] == ["storage_damaged"]
