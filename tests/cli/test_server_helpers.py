"""``sglang.utils``: the helpers of the documentation's examples."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sglang.test.test_utils import is_in_ci
from sglang.utils import (
    async_stream_and_merge,
    execute_shell_command,
    launch_server_cmd,
    new_part,
    print_highlight,
    reserve_port,
    stream_and_merge,
    terminate_process,
    wait_for_server,
)
from tests.cli.processes import is_alive

SERVER = f"""
python {Path(__file__).with_name("tiny_server.py")} \\
    --unused "a value"
"""


def test_launch_wait_and_terminate() -> None:
    process, port = launch_server_cmd(SERVER)
    try:
        wait_for_server(f"http://localhost:{port}", timeout=30)
        child = int(httpx.get(f"http://localhost:{port}/child").text)
        assert is_alive(child)
    finally:
        terminate_process(process, port)
    assert process.poll() is not None
    assert not is_alive(child)


def test_python_is_the_running_one() -> None:
    process, port = launch_server_cmd(SERVER)
    wait_for_server(f"http://127.0.0.1:{port}", timeout=30)
    prefix = httpx.get(f"http://127.0.0.1:{port}/prefix").text
    terminate_process(process)
    assert prefix == sys.prefix


def test_terminating_twice_is_harmless() -> None:
    process = execute_shell_command("sleep 60")
    terminate_process(process)
    terminate_process(process)
    assert process.poll() is not None


def test_a_process_that_ignores_the_polite_way_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sglang.utils._STOP_SECONDS", 0.5)
    process = execute_shell_command("trap '' TERM; echo ready; sleep 60; sleep 60")
    time.sleep(0.3)
    terminate_process(process)
    assert process.poll() is not None


def test_terminate_takes_any_process() -> None:
    process = subprocess.Popen(["sleep", "60"])
    terminate_process(process)
    assert process.poll() is not None


def test_waiting_for_a_dead_server_fails_at_once() -> None:
    process, port = launch_server_cmd("exit 3;")
    with pytest.raises(RuntimeError, match="exit status 3"):
        wait_for_server(f"http://127.0.0.1:{port}")
    terminate_process(process, port)


def test_waiting_has_a_limit() -> None:
    with reserve_port() as reservation, pytest.raises(TimeoutError, match=r"within 0\.3 seconds"):
        wait_for_server(f"http://127.0.0.1:{reservation.getsockname()[1]}", timeout=0.3)


def test_a_reserved_port_is_free_for_a_server_only() -> None:
    with reserve_port() as reservation:
        port = reservation.getsockname()[1]
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()


def test_nothing_outlives_the_interpreter(tmp_path: Path) -> None:
    code = (
        "from sglang.utils import execute_shell_command as run; "
        f"run('echo $$ > {tmp_path}/pid; exec sleep 60'); "
        f"import os, time\nwhile not os.path.exists('{tmp_path}/pid'): time.sleep(0.01)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_print_highlight_prints(capsys: pytest.CaptureFixture[str]) -> None:
    print_highlight({"text": "Paris"})
    assert "Paris" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("0", False)])
def test_is_in_ci(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_IS_IN_CI", value)
    assert is_in_ci() is expected


class FakeEngine:
    """Streams the text so far, as the engine does."""

    def __init__(self, text: str) -> None:
        self.chunks = [{"text": text[: end + 1]} for end in range(len(text))]

    def generate(self, prompt: str, params: dict[str, Any], stream: bool) -> Iterator[Any]:
        assert stream
        return iter(self.chunks)

    async def async_generate(
        self, prompt: str, params: dict[str, Any], stream: bool
    ) -> AsyncIterator[Any]:
        assert stream

        async def chunks() -> AsyncIterator[Any]:
            for chunk in self.chunks:
                yield chunk

        return chunks()


@given(st.text())
def test_stream_and_merge_gives_the_text(text: str) -> None:
    assert stream_and_merge(FakeEngine(text), "prompt", {}) == text


async def test_async_stream_and_merge_gives_each_piece_once() -> None:
    pieces = [piece async for piece in async_stream_and_merge(FakeEngine("haha ha"), "", {})]
    assert pieces == list("haha ha")


@pytest.mark.parametrize(
    ("seen", "chunk", "part"),
    [("Hello wor", "world", "ld"), ("Hello", " world", " world"), ("", "a", "a"), ("a", "a", "")],
)
def test_new_part_removes_what_overlaps(seen: str, chunk: str, part: str) -> None:
    assert new_part(seen, chunk) == part


def test_importing_the_helpers_needs_no_client() -> None:
    code = "import sys, sglang.utils; sys.exit('httpx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
