"""Batches for the tests of this folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from sglang.srt.batches.folder import Upload
from sglang.srt.batches.records import Batch, FileRecord, new_id
from sglang.srt.batches.storage import Storage

ENDPOINT = "/v1/chat/completions"
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where waiting for the disk takes no time; None: no such place."""


def line(custom_id: Any, **changes: Any) -> str:
    """A line of an input file; what is changed to None is left out."""
    fields = {
        "custom_id": custom_id,
        "method": "POST",
        "url": ENDPOINT,
        "body": {"model": "m", "messages": [{"role": "user", "content": f"say {custom_id}"}]},
        **changes,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def lines(count: int) -> bytes:
    return "".join(line(f"r{i}") + "\n" for i in range(count)).encode()


def store_file(storage: Storage, data: bytes, purpose: str = "batch", **fields: Any) -> str:
    """Keep a file; returns its id."""
    upload = Upload(storage.folder, new_id("file-"))
    upload.write(data)
    upload.finish()
    record = FileRecord(upload.file_id, "in.jsonl", purpose, len(data), int(time.time()), **fields)
    storage.files.insert(record)
    return upload.file_id


def make_batch(file_id: str, **changes: Any) -> Batch:
    now = int(time.time())
    fields = {
        "id": new_id("batch_"),
        "endpoint": ENDPOINT,
        "input_file_id": file_id,
        "completion_window": "24h",
        "created_at": now,
        "expires_at": now + 86400,
        "model": "m",
        "output_file_id": new_id("file-"),
        "error_file_id": new_id("file-"),
        **changes,
    }
    return Batch(**fields)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of an output or error file; none if there is no file."""
    if not path.exists():
        return []
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]
