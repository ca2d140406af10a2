"""``sglang chat`` with a server of its own: the demo model, started and stopped for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.cli.processes import children_of, is_alive

CHAT = [sys.executable, "-m", "sglang", "chat", "--max-tokens", "2"]


def test_starts_answers_and_stops() -> None:
    done = subprocess.run(CHAT, input="Hi\n", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Starting the built-in demo model" in done.stderr
    assert "(the answer reached its length limit)" in done.stderr
    assert done.stdout.strip()


def test_a_server_that_cannot_start_says_why() -> None:
    done = subprocess.run(
        [*CHAT, "--model", "/no/such/model"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "/no/such/model" in done.stderr


def test_a_closed_terminal_leaves_nothing_behind() -> None:
    process = subprocess.Popen(CHAT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "Chatting with" not in process.stderr.readline():
        pass
    below = children_of(process.pid)
    assert below
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 128 + signal.SIGHUP
    deadline = time.monotonic() + 30
    while any(map(is_alive, below)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, below))
