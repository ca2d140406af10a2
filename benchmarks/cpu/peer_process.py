"""A server that runs for the time of a measurement, with its start-up time and its memory."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sglang.utils import execute_shell_command, terminate_process

POLL_SECONDS = 0.05
SAMPLE_SECONDS = 3.0
"""Reading the maps of a large process is not free."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class RunningPeer:
    """A server that answers."""

    start_s: float
    """Seconds from its launch to its first answer."""
    _sampler: MemorySampler

    def peak_memory_mb(self) -> float:
        """The most memory (PSS) so far of the server and its children."""
        return self._sampler.take() / 2**20


@contextmanager
def running(
    command: str, env: dict[str, str], url: str, log: Path, timeout: float
) -> Iterator[RunningPeer]:
    """Run a server until the context ends; ``url`` answers 200 when it is ready.

    Raises:
        RuntimeError: it ended, or was not ready after ``timeout`` seconds; ``log`` says more.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        launched = time.perf_counter()
        process = execute_shell_command(command, env, output)
        try:
            while not _answers(url):
                if process.poll() is not None:
                    raise RuntimeError(f"it ended with status {process.returncode}; see {log}")
                if time.perf_counter() - launched > timeout:
                    raise RuntimeError(f"it was not ready after {timeout:.0f} s; see {log}")
                time.sleep(POLL_SECONDS)
            start_s = time.perf_counter() - launched
            sampler = MemorySampler(process.pid)
            sampler.start()
            try:
                yield RunningPeer(start_s, sampler)
            finally:
                sampler.stop()
        finally:
            terminate_process(process)


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class MemorySampler(threading.Thread):
    """Looks at the memory of a process and its descendants now and then."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="memory", daemon=True)
        self._pid = pid
        self._peak = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.take()

    def take(self) -> int:
        """Look once more; the largest value so far, in bytes."""
        self._peak = max(self._peak, sum(map(memory_of, family(self._pid))))
        return self._peak

    def stop(self) -> None:
        self._ended.set()
        self.join()


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                # The name of the program, in parentheses, may hold anything.
                facts = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(facts[1]), []).append(int(folder.name))
    found: set[int] = set()
    stack = [pid]
    while stack:
        found.add(stack[-1])
        stack += children.get(stack.pop(), [])
    return found


def memory_of(pid: int) -> int:
    """Bytes of memory of a process, its share of shared pages included (PSS); 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
