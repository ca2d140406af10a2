"""The engine's end of a grammar worker: one process, started when it is needed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from sglang.srt.constrained.backends import BackendConfig
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.constrained.worker import LENGTH, Reply

START_SECONDS = 60.0
COMPILE_SECONDS = 10.0
COMMAND = ("-m", "sglang.srt.constrained.worker")


class GrammarWorker:
    """Prepares one grammar at a time in a process of its own. For one thread."""

    def __init__(self, config: BackendConfig, compile_seconds: float = COMPILE_SECONDS) -> None:
        self._config = config
        self._compile_seconds = compile_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, spec: GrammarSpec) -> bytes:
        """``Backend.prepare`` of the worker's backend.

        Raises:
            GrammarError: the grammar is refused, or took too much time or memory.
            RuntimeError: the worker cannot start.
        """
        process = self.start()
        try:
            self._send(process, msgspec.msgpack.encode((spec.kind, spec.text)))
            answer = self._receive(process, self._compile_seconds)
        except (BrokenPipeError, EOFError):
            self.close()
            raise GrammarError("too complex: it needs too much memory") from None
        except TimeoutError:
            self.close()
            raise GrammarError(
                f"too complex: not compiled within {self._compile_seconds:g} s"
            ) from None
        reply = msgspec.msgpack.decode(answer, type=Reply)
        if reply.error:
            raise GrammarError(reply.error)
        return reply.prepared

    def start(self) -> subprocess.Popen[bytes]:
        """The process, started if it does not run.

        Raises:
            RuntimeError: it cannot start.
        """
        if self._process is None:
            self._process = self._launch()
            try:
                self._send(self._process, msgspec.msgpack.encode(self._config))
                self._receive(self._process, START_SECONDS)
            except (OSError, EOFError) as error:
                self.close()
                raise RuntimeError(f"the grammar worker cannot start: {error}") from None
        return self._process

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _launch(self) -> subprocess.Popen[bytes]:
        source = str(Path(__file__).resolve().parents[3])
        paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, *COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def _send(self, process: subprocess.Popen[bytes], message: bytes) -> None:
        assert process.stdin is not None
        process.stdin.write(LENGTH.pack(len(message)) + message)
        process.stdin.flush()

    def _receive(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The next message.

        Raises:
            TimeoutError: it did not come within ``seconds``.
            EOFError: the process has ended.
        """
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        deadline = time.monotonic() + seconds
        data = b""
        size = LENGTH.size
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise TimeoutError(f"no answer within {seconds:g} s")
            more = os.read(descriptor, 1 << 20)
            if not more:
                raise EOFError("the process has ended")
            data += more
            if size == LENGTH.size and len(data) >= size:
                size += LENGTH.unpack_from(data)[0]
        return data[LENGTH.size :]
