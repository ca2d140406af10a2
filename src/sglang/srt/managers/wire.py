"""The wire between the API process and the engine process: messages over a pair of sockets.

A message is its length (uint32, little-endian) and its bytes. Neither side ever blocks on the
other: what the socket does not take is kept and sent later. No threads of its own: a message costs
one system call a side and wakes one process.
"""

from __future__ import annotations

import socket
import struct

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 18
_SOCKET_BUFFER_BYTES = 1 << 20


class WireClosed(ConnectionError):
    """The other side is gone."""


def make_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, invisible to other processes."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


class Wire:
    """One end of the wire. Owns ``end``."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        self._socket = end
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """For a loop or a poll that waits until there is something to read or room to write."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Some of what was to be sent waits for :meth:`flush`."""
        return bool(self._outgoing)

    def send(self, message: bytes) -> None:
        """Send as much as goes, keep the rest.

        Raises:
            WireClosed: nobody reads any more.
        """
        self._outgoing += _LENGTH.pack(len(message))
        self._outgoing += message
        self.flush()

    def flush(self) -> None:
        """Send what was kept, as far as it goes.

        Raises:
            WireClosed: nobody reads any more.
        """
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise WireClosed(str(error)) from None
            del self._outgoing[:sent]

    def receive(self) -> list[bytes]:
        """The messages that have arrived whole, without waiting.

        Raises:
            WireClosed: the other side is gone, and all it had sent was returned before.
        """
        ended = self._read()
        messages = self._take_messages()
        if ended and not messages:
            raise WireClosed("the other process has closed the connection")
        return messages

    def close(self) -> None:
        """Give the socket back. May be called again."""
        self._socket.close()

    def _read(self) -> bool:
        """Read what is there; True at the end of the stream."""
        while True:
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:  # reset by a process that was killed
                return True
            if not data:
                return True
            self._incoming += data
            if len(data) < _READ_BYTES:
                return False

    def _take_messages(self) -> list[bytes]:
        messages = []
        start = 0
        while len(self._incoming) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(self._incoming, start)[0]
            if end > len(self._incoming):
                break
            messages.append(bytes(memoryview(self._incoming)[start + _LENGTH.size : end]))
            start = end
        if start:
            del self._incoming[:start]
        return messages
