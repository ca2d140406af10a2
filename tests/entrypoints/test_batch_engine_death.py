"""When the engine dies, the storage says which lines it was working on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import httpx
from fake_runtime import repeat_prompt, serve


def test_the_lines_that_were_running_are_noted(storage_folder: Path) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"prompt": "a"}}
    with serve(repeat_prompt, file_storage_pth=str(storage_folder)) as server:
        server.engine.paused = True
        with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
            form = {"file": ("a.jsonl", json.dumps(line).encode())}
            file = client.post("/v1/files", files=form, data={"purpose": "batch"}).json()
            window = {"endpoint": "/v1/completions", "completion_window": "1h"}
            client.post("/v1/batches", json={**window, "input_file_id": file["id"]})
            server.wait_until(lambda: bool(server.engine.requests))
            server.engine.die("killed by signal 9")
            server.wait_until(lambda: server.state.manager.dead_reason is not None)
    with sqlite3.connect(storage_folder / "storage.db") as db:
        assert db.execute("SELECT number, deaths FROM pending").fetchall() == [(1, 1)]
