"""The id of the HTTP request that is being served, for the log and for nothing else.

A context variable: every task that a request starts inherits it, so a log line knows where it
belongs without each function handing the id on. No decision may depend on it.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Empty outside of HTTP requests."""

TRACEPARENT: ContextVar[str] = ContextVar("traceparent", default="")
"""The header of that name (W3C Trace Context) that it came with; likewise for traces only."""

_ACCEPTABLE = re.compile(rb"[!-~]{1,128}\Z")


def accepted_or_new(given: bytes | None) -> str:
    """The id that a client sent, if it is printable and of bearable length, else a new one."""
    if given is not None and _ACCEPTABLE.match(given):
        return given.decode("ascii")
    return uuid.uuid4().hex
