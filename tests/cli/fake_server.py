"""A tiny server that speaks just enough of the OpenAI protocol to be chatted with."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeServer:
    """Answers "You said: " and the words of the last message, one chunk a word."""

    url: str = ""
    api_key: str | None = None
    error: str | None = None
    """Refuse chats with this message."""
    endless: bool = False
    """Never finish an answer."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)


@contextmanager
def fake_server(**options: Any) -> Iterator[FakeServer]:
    """Run one on a free port."""
    state = FakeServer(**options)

    class Handler(_Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_state: FakeServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            self._reply(200, {})
        elif self._authorized():
            self._reply(200, {"object": "list", "data": [{"id": "fake"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._authorized():
            return
        self.server_state.requests.append(body)
        if self.server_state.error:
            self._reply(400, {"error": {"message": self.server_state.error}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self._stream(body["messages"][-1]["content"].split())
        except OSError:
            self.server_state.disconnected.set()

    def _stream(self, words: list[str]) -> None:
        self._event({"role": "assistant"}, None)
        for word in ["You", "said:", *words]:
            self._event({"content": word + " "}, None)
        while self.server_state.endless:
            time.sleep(0.02)
            self._event({"content": "more "}, None)
        self._event({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, delta: dict[str, str], finish_reason: str | None) -> None:
        event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    def _authorized(self) -> bool:
        key = self.server_state.api_key
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return True
        self._reply(401, {"error": {"message": "wrong key"}})
        return False

    def _reply(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
