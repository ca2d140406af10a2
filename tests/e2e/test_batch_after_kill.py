"""A server that is killed in the middle of a batch, and the next one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.servers import Server, wait_until

NAMES = [f"request-{i}" for i in range(30)]


def start_batch(server: Server) -> str:
    """A batch of which each line takes a while; returns its id."""
    lines = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/completions",
            "body": {"prompt": f"Tell me about {name}:", "max_tokens": 200, "ignore_eos": True},
        }
        for name in NAMES
    ]
    data = "\n".join(map(json.dumps, lines))
    form = {"files": {"file": ("in.jsonl", data)}, "data": {"purpose": "batch"}}
    file = httpx.post(f"{server.url}/v1/files", **form).json()
    body = {
        "input_file_id": file["id"],
        "endpoint": "/v1/completions",
        "completion_window": "24h",
    }
    batch: dict[str, Any] = httpx.post(f"{server.url}/v1/batches", json=body).json()
    return str(batch["id"])


def retrieve(server: Server, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/v1/batches/{batch_id}", timeout=30).json()
    return found


def test_a_batch_survives_kill_9(launch, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    options = ("--file-storage-pth", str(storage), "--max-running-requests", "4")
    first = launch(*options)
    batch_id = start_batch(first)
    wait_until(
        lambda: retrieve(first, batch_id)["request_counts"]["completed"] >= 5, 60, "five answers"
    )
    seen = retrieve(first, batch_id)
    first.process.kill()
    first.process.wait()
    files = {path.name: path for path in (storage / "files").iterdir()}
    del files[seen["input_file_id"]]
    (before,) = (path.read_bytes() for path in files.values())

    second = launch(*options)
    wait_until(lambda: retrieve(second, batch_id)["status"] == "completed", 120, "the rest")
    batch = retrieve(second, batch_id)
    assert batch["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
    assert batch["error_file_id"] is None
    output = httpx.get(f"{second.url}/v1/files/{batch['output_file_id']}/content").content
    assert Counter(json.loads(line)["custom_id"] for line in output.splitlines()) == Counter(NAMES)
    told = seen["request_counts"]["completed"]
    assert 5 <= told < 30
    assert output.startswith(b"".join(before.splitlines(keepends=True)[:told]))
