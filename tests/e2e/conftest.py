"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import Server, start_server, stop_server


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of one's own; they are stopped at the end of the test."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(start_server(tmp_path / f"server{len(servers)}.log", *arguments))
        return servers[-1]

    yield start
    for server in servers:
        stop_server(server)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, one for all tests of a file."""
    running = start_server(tmp_path_factory.mktemp("server") / "server.log")
    yield running
    stop_server(running)
