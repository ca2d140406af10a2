"""A server with the fake engine for the tests of this folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from chat_client import CALLS, tool_server
from fake_runtime import RunningServer, say, serve


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that repeats its prompts, one for all tests of a file."""
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def tools_server() -> Iterator[RunningServer]:
    with tool_server(say(CALLS), tool_call_parser="qwen25") as running:
        yield running


@pytest.fixture(scope="module")
def thinking_server() -> Iterator[RunningServer]:
    text = "<think>\nSie grüßt.\n</think>\n\nHallo!"
    with tool_server(say(text), reasoning_parser="qwen3") as running:
        yield running


@pytest.fixture(scope="module")
def storage_folder() -> Iterator[Path]:
    """For --file-storage-pth; in memory where that can be had, so that nothing waits for a disk."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder) / "storage"


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
