"""Where the server can be reached: a port, or a unix socket."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import stat
from typing import TYPE_CHECKING

from sglang.srt.entrypoints.origin_check import is_local

if TYPE_CHECKING:
    from sglang.srt.server_args import ServerArgs

logger = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, so that a port in use shows before a model is loaded.

    Raises:
        OSError: it cannot be bound; the message names host and port.
    """
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A name may have addresses of both kinds; most clients try IPv4.
        family, kind, protocol, _, address = min(found, key=lambda a: a[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    listener.set_inheritable(False)
    return listener


def bind_unix(path: str) -> socket.socket:
    """A unix socket at ``path`` that only its owner may connect to.

    What a server that was killed has left there is replaced.

    Raises:
        OSError: another server listens there, or the path cannot be used; the message names it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_abandoned(path)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {path}: {error.strerror or error}") from None
    return listener


def remove_unix(path: str) -> None:
    """Take the file of a unix socket away that nobody listens on any more."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def check_certificate(args: ServerArgs) -> None:
    """Read the files for HTTPS, so that what is wrong with them shows before a model is loaded.

    Raises:
        OSError: they cannot be used; the message names them.
    """
    if args.ssl_certfile is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(args.ssl_certfile, args.ssl_keyfile)
    except OSError as error:
        files = " and ".join(filter(None, [args.ssl_certfile, args.ssl_keyfile]))
        raise OSError(f"cannot speak HTTPS with {files}: {error.strerror or error}") from None


def warn_if_open(args: ServerArgs) -> None:
    """Say loudly when anybody on the network may use the server."""
    if args.api_key is None and args.uds is None and not is_local(args.host):
        logger.warning(
            "the server listens on %s without --api-key: everyone who can reach it can use it",
            args.host,
        )


def _remove_abandoned(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError("there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError("another server listens there")
