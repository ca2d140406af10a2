"""Cost of the API process: parsing, detokenizing, formatting and sending, without a model.

    python benchmarks/cpu/api_process.py
    python benchmarks/cpu/api_process.py --streams 1 64 256 --steps-per-second 40 --route chat

A stub takes the place of the engine process: it answers every request with one token a step, at a
fixed pace.  Printed are the tokens that arrived each second, the processor time of the API process
for each of them, and how long ``/health`` took meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from sglang.srt.managers.io_struct import (
    ControlReply,
    ControlRequest,
    EngineReady,
    FinishReason,
    RequestOutput,
    StepOutput,
    TokenizedRequest,
    decode_request,
    encode,
)
from sglang.srt.managers.wire import Wire, WireClosed

PROMPT = "Once upon a time there was a small server."
ROUTES = {
    "completions": ("/v1/completions", {"model": "demo", "prompt": PROMPT, "ignore_eos": True}),
    "chat": (
        "/v1/chat/completions",
        {"model": "demo", "messages": [{"role": "user", "content": PROMPT}], "ignore_eos": True},
    ),
}
_SPOKEN = 300, 4000
"""Range of the token ids of the answers: ordinary ones of the demo model."""


# --------------------------------------------------------------------- the stub engine


def run_engine(steps_per_second: float) -> None:
    """Speak as an engine process does, with a model that is infinitely fast."""
    import socket

    setup = json.loads(sys.stdin.buffer.readline())
    wire = Wire(socket.socket(fileno=setup["descriptor"]))
    wire.send(encode(EngineReady({"max_total_num_tokens": 1 << 24})))
    left: dict[str, int] = {}
    token, due = _SPOKEN[0], 0.0
    while True:
        wait = max(0.0, due - time.monotonic()) if left else 1.0
        if select.select([wire], [], [], wait)[0]:
            try:
                messages = wire.receive()
            except WireClosed:
                return
            for message in map(decode_request, messages):
                if isinstance(message, TokenizedRequest):
                    left[message.rid] = message.sampling.max_new_tokens or 1
                elif isinstance(message, ControlRequest):
                    wire.send(encode(ControlReply(message.id, True)))
                else:
                    left.pop(message.rid, None)
        if left and time.monotonic() >= due:
            due = max(due + 1 / steps_per_second, time.monotonic() - 1)
            token = token + 1 if token < _SPOKEN[1] else _SPOKEN[0]
            wire.send(encode(_step(left, token)))


def _step(left: dict[str, int], token: int) -> StepOutput:
    outputs = []
    for rid in list(left):
        left[rid] -= 1
        finish = FinishReason("length") if left[rid] == 0 else None
        outputs.append(RequestOutput(rid, [token], finish))
        if finish:
            del left[rid]
    return StepOutput(outputs)


def run_server(port: int, steps_per_second: float) -> None:
    """The real server in front of the stub."""
    from sglang.srt.entrypoints.http_server import launch_server
    from sglang.srt.managers.engine_child import start_engine_child
    from sglang.srt.server_args import ServerArgs

    command = (sys.executable, __file__, "--engine", "--steps-per-second", str(steps_per_second))
    args = ServerArgs(port=port, log_level="warning")
    launch_server(args, start_engine_child(args, command))


# --------------------------------------------------------------------- the clients


@dataclass
class Load:
    """What the clients saw."""

    tokens: int = 0
    health_seconds: list[float] = field(default_factory=list)


async def stream(port: int, route: str, max_tokens: int, load: Load) -> None:
    """One streamed request over a plain socket, so that the client costs little."""
    path, fields = ROUTES[route]
    body = json.dumps({**fields, "max_tokens": max_tokens, "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    rest = b""
    while b"data: [DONE]" not in rest:
        data = await reader.read(1 << 16)
        if not data:
            raise ConnectionError("the server has closed the connection")
        load.tokens += data.count(b"data: {")
        rest = (rest + data)[-64:]
    writer.close()


async def watch_health(port: int, load: Load) -> None:
    """Ask ``/health`` again and again."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            started = time.perf_counter()
            (await client.get("/health")).raise_for_status()
            load.health_seconds.append(time.perf_counter() - started)
            await asyncio.sleep(0.25)


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(pid: int, port: int, options: argparse.Namespace, streams: int) -> None:
    """One line of the report."""
    max_tokens = max(1, round(options.seconds * options.steps_per_second))
    load = Load()
    watcher = asyncio.create_task(watch_health(port, load))
    before, started = processor_seconds(pid), time.perf_counter()
    await asyncio.gather(*(stream(port, options.route, max_tokens, load) for _ in range(streams)))
    seconds, used = time.perf_counter() - started, processor_seconds(pid) - before
    watcher.cancel()
    health = np.percentile(load.health_seconds, [50, 99]) * 1e3
    wanted = streams * options.steps_per_second
    print(
        f"{streams:>8}{wanted:>12.0f}{load.tokens / seconds:>12.0f}"
        f"{used / load.tokens * 1e6:>14.1f}{health[0]:>12.1f}{health[1]:>10.1f}",
        flush=True,
    )


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server is ready."""
    while server.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--steps-per-second", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each stream")
    parser.add_argument("--route", choices=list(ROUTES), default="completions")
    parser.add_argument("--port", type=int, default=31987)
    parser.add_argument("weight_bytes", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.engine:
        return run_engine(options.steps_per_second)
    if options.server:
        return run_server(options.port, options.steps_per_second)
    shared = ["--port", str(options.port), "--steps-per-second", str(options.steps_per_second)]
    server = subprocess.Popen([sys.executable, __file__, "--server", *shared])
    try:
        wait_for(options.port, server)
        print(f"{'streams':>8}{'asked/s':>12}{'tokens/s':>12}{'us CPU/token':>14}", end="")
        print(f"{'/health p50':>12}{'p99 ms':>10}")
        for streams in options.streams:
            asyncio.run(measure(server.pid, options.port, options, streams))
    finally:
        server.terminate()
        server.wait()
    return None


if __name__ == "__main__":
    main()
