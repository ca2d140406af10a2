"""A foreign API, played by a small server from recorded answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RecordedApi:
    """Gives its answers in turn, the last one again and again, and keeps what it was asked.

    An answer is an object, or a list of objects: the events of a stream, each under its ``type``
    if it has one.
    """

    answers: list[dict[str, Any] | list[dict[str, Any]]] = field(default_factory=list)
    status: int = 200
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def next_answer(self) -> dict[str, Any] | list[dict[str, Any]]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def recorded_api() -> Iterator[RecordedApi]:
    """A running one; ``url`` is its address, without a path."""
    api = RecordedApi()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            api.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            api.paths.append(self.path)
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            answer = api.next_answer()
            is_stream = isinstance(answer, list)
            data = (_events(answer) if isinstance(answer, list) else json.dumps(answer)).encode()
            self.send_response(api.status)
            kind = "text/event-stream" if is_stream else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


def _events(events: Sequence[dict[str, Any]]) -> str:
    lines = []
    for event in events:
        if "type" in event:
            lines.append(f"event: {event['type']}\n")
        lines.append(f"data: {json.dumps(event)}\n\n")
    return "".join(lines)
