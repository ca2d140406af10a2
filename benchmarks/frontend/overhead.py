"""What a program of the frontend language costs beside the same requests written by hand.

    python benchmarks/frontend/overhead.py

A process of its own plays a server that answers at once, so that what is measured is the client.
"By hand" is a loop over http.client with one kept connection: as little as HTTP can cost in Python.
Rounds of both alternate; what counts is the median of their difference.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any

import sglang as sgl
from sglang.lang.function import Function

META = {"id": "1", "prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 8}
ANSWER = {"text": " an answer", "meta_info": {**META, "finish_reason": {"type": "stop"}}}
INFO = {"model_path": "stub", "chat_template": "chatml"}


def answer(data: Any) -> bytes:
    """A whole response."""
    body = json.dumps(data).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def serve_connection(connection: socket.socket) -> None:
    """Answer every request on it with the same."""
    generated, info = answer(ANSWER), answer(INFO)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = connection.makefile("rb")
    while start := reader.readline():
        length = 0
        while (line := reader.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        reader.read(length)
        connection.sendall(generated if start.startswith(b"POST") else info)


def serve(pipe: Connection) -> None:
    """The stub of a server; tells its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    pipe.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()


@sgl.function
def one_after_the_other(s, count):
    for number in range(count):
        s += f"Question {number}?" + sgl.gen("answer", max_tokens=16, stop="\n")
        assert s["answer"] == " an answer"


@sgl.function
def not_waited_for(s, count):
    for number in range(count):
        s += f"Question {number}?" + sgl.gen("answer", max_tokens=16, stop="\n")


@sgl.function
def chat(s, count):
    for number in range(count):
        s += sgl.user(f"Question {number}?")
        s += sgl.assistant(sgl.gen("answer", max_tokens=16))
        assert s["answer"]


def by_hand(port: int, count: int) -> None:
    """The requests of ``one_after_the_other``."""
    connection = HTTPConnection("127.0.0.1", port)
    text = ""
    for number in range(count):
        text += f"Question {number}?"
        body = {"text": text, "sampling_params": {"max_new_tokens": 16, "stop": ["\n"]}}
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/generate", json.dumps(body).encode(), headers)
        text += json.loads(connection.getresponse().read())["text"]
    connection.close()


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(port: int, program: Function, count: int, rounds: int) -> None:
    """Print what a gen costs both ways."""
    program.run(count)
    by_hand(port, count)
    hand, ours = [], []
    for _ in range(rounds):
        hand.append(seconds_of(lambda: by_hand(port, count)) / count * 1e3)
        ours.append(seconds_of(lambda: program.run(count)) / count * 1e3)
    more = statistics.median(b - a for a, b in zip(hand, ours, strict=True))
    print(
        f"{program.name:20} {statistics.median(ours):.3f} ms a gen, by hand "
        f"{statistics.median(hand):.3f}, overhead {more:+.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="gens in a program")
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    context.Process(target=serve, args=(theirs,), daemon=True).start()
    port = ours.recv()
    sgl.set_default_backend(sgl.RuntimeEndpoint(f"http://127.0.0.1:{port}"))
    for program in (one_after_the_other, not_waited_for, chat):
        compare(port, program, args.count, args.rounds)


if __name__ == "__main__":
    main()
