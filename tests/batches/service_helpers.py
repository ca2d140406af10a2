"""A batch service for tests, and a model that answers its lines when it is told to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from storage_helpers import ENDPOINT, read_lines

from sglang.srt.batches.records import Batch
from sglang.srt.batches.result_lines import LineAnswer
from sglang.srt.batches.service import BatchService

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}


class Model:
    """Answers lines, when it is told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.running = 0
        self.most_running = 0
        self.statuses: dict[str, list[int]] = {}
        """What a prompt is answered with, in turn; 200 when there is nothing left."""
        self.gate = asyncio.Event()
        self.gate.set()

    async def execute(self, endpoint: str, body: bytes) -> LineAnswer:
        assert endpoint == ENDPOINT
        prompt = json.loads(body)["messages"][0]["content"]
        self.seen.append(prompt)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        queue = self.statuses.get(prompt)
        status = queue.pop(0) if queue else 200
        answer = {"said": prompt, "usage": USAGE} if status == 200 else {"error": "no"}
        return LineAnswer(status, json.dumps(answer).encode(), "id")


@asynccontextmanager
async def serving(
    root: Path, model: Model, *, slots: int = 4, quota: float | None = None
) -> AsyncIterator[BatchService]:
    service = BatchService(root, quota)
    await service.start(model.execute, slots=slots, model_name="m", is_model_strict=False)
    try:
        yield service
    finally:
        await service.stop()


async def submit(service: BatchService, data: bytes, window: str = "24h") -> Batch:
    upload = await service.begin_upload()
    await upload.write(data)
    file = await upload.finish("in.jsonl", "batch")
    return await service.create_batch(
        endpoint=ENDPOINT,
        input_file_id=file.id,
        completion_window=window,
        metadata=None,
        output_expires_seconds=None,
    )


async def ended(service: BatchService, batch_id: str) -> Batch:
    return await until(service, batch_id, lambda batch: batch.is_final)


async def until(service: BatchService, batch_id: str, condition: Callable[[Batch], bool]) -> Batch:
    async def poll() -> Batch:
        while not condition(batch := await service.get_batch(batch_id)):
            await asyncio.sleep(0.002)
        return batch

    return await asyncio.wait_for(poll(), 20)


async def wait_for(condition: Callable[[], bool]) -> None:
    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.002)

    await asyncio.wait_for(poll(), 20)


def output(root: Path, batch: Batch) -> list[dict[str, Any]]:
    return read_lines(root / "files" / batch.output_file_id)


def failures(root: Path, batch: Batch) -> list[dict[str, Any]]:
    return read_lines(root / "files" / batch.error_file_id)


def custom_ids(found: list[dict[str, Any]]) -> Counter[str]:
    return Counter(item["custom_id"] for item in found)
