"""A process that tries grammars out: it may take long, need much memory or die.

Started by :class:`~sglang.srt.constrained.worker_client.GrammarWorker` with a ``BackendConfig`` as
its first message. A message is its length (uint32, little-endian) and its bytes; requests and
replies take turns on standard input and output.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
import sys
from typing import BinaryIO

import msgspec

from sglang.srt.constrained.backends import BackendConfig, make_backend
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec

MEMORY_BYTES = 512 << 20
"""What compiling one grammar may need."""
NICENESS = 5
LIFETIME_SECONDS = 60
"""For one grammar."""
LENGTH = struct.Struct("<I")


class Reply(msgspec.Struct, array_like=True):
    """What became of a grammar: ``prepared`` for the engine's backend, or why it is refused."""

    prepared: bytes = b""
    error: str = ""


def send(stream: BinaryIO, message: bytes) -> None:
    stream.write(LENGTH.pack(len(message)) + message)
    stream.flush()


def receive(stream: BinaryIO) -> bytes | None:
    """The next message; None at the end of the stream."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return stream.read(LENGTH.unpack(head)[0])


def main() -> None:
    """Answer until the engine closes standard input."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a library that prints must not disturb the replies
    first = receive(requests)
    if first is None:
        return
    os.nice(NICENESS)
    backend = make_backend(msgspec.msgpack.decode(first, type=BackendConfig))
    _limit_memory()
    send(replies, b"")
    while (message := receive(requests)) is not None:
        signal.alarm(LIFETIME_SECONDS)  # the engine, if it lives, ends this process before
        kind, text = msgspec.msgpack.decode(message, type=tuple[str, str])
        try:
            reply = Reply(prepared=backend.prepare(GrammarSpec(kind, text)))
        except GrammarError as error:
            reply = Reply(error=str(error))
        except (MemoryError, RecursionError):
            reply = Reply(error="too complex")
        signal.alarm(0)
        send(replies, msgspec.msgpack.encode(reply))


def _limit_memory() -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody waits for the reply any more
        main()
