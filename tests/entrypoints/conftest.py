"""A server with the fake engine for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fake_runtime import RunningServer, serve


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server that repeats its prompts, one for all tests of a file."""
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client
