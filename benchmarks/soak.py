"""A soak test: mixed requests for a while, after which the server must be what it was.

``python benchmarks/soak.py --minutes 30`` starts a server (of the demo model, unless options of the
server say otherwise), sends requests of every kind, disconnects and bad input from many clients,
and compares pools, memory and open files with the beginning. Prints a verdict; the exit status is
1 if something is left or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_SECONDS = 300
SETTLE_SECONDS = 20
CLIENTS = 16
POOL_TOKENS = 8192
SAMPLE_SECONDS = 15
WARM_UP_REQUESTS = 300
RSS_SLACK = 0.10
"""Growth of a process's memory that is no leak: caches fill up to their bounds."""
RSS_SLACK_MB = 40
FD_SLACK = 8
AT_REST = ("num_running_reqs", "num_waiting_reqs", "num_grammar_queue_reqs")
"""Gauges of the engine that are 0 when nobody asks for anything."""


@dataclass(frozen=True)
class Snapshot:
    """What a server at rest holds."""

    rss_mb: dict[str, float]
    """By process: api, engine."""
    open_files: dict[str, int]
    gauges: dict[str, float]


@dataclass
class Tally:
    """What the clients have seen."""

    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


Act = Callable[[httpx.AsyncClient, random.Random], Awaitable[str]]


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(("red", "green", "blue", "one", "two")) for _ in range(count))


async def generate(client: httpx.AsyncClient, rng: random.Random) -> str:
    params = {"max_new_tokens": rng.randrange(1, 48), "temperature": rng.choice((0, 1.0))}
    body = {"text": words(rng, rng.randrange(1, 60)), "sampling_params": params}
    return _status(await client.post("/generate", json=body), 200)


async def chat(client: httpx.AsyncClient, rng: random.Random) -> str:
    body = {
        "messages": [{"role": "user", "content": words(rng, 8)}],
        "max_tokens": rng.randrange(1, 32),
        "n": rng.choice((1, 1, 3)),
        "logprobs": rng.random() < 0.3,
    }
    return _status(await client.post("/v1/chat/completions", json=body), 200)


async def stream(client: httpx.AsyncClient, rng: random.Random) -> str:
    body = {"prompt": words(rng, 12), "max_tokens": rng.randrange(1, 48), "stream": True}
    async with client.stream("POST", "/v1/completions", json=body) as response:
        last = ""
        async for line in response.aiter_lines():
            last = line or last
    return "200" if last == "data: [DONE]" else f"a stream ended with {last[:100]}"


async def disconnect(client: httpx.AsyncClient, rng: random.Random) -> str:
    """Go away in the middle of a stream."""
    body = {"text": words(rng, 12), "stream": True, "sampling_params": {"max_new_tokens": 400}}
    async with client.stream("POST", "/generate", json=body) as response:
        seen = 0
        async for _ in response.aiter_lines():
            seen += 1
            if seen > rng.randrange(1, 12):
                break
    return "left"


async def give_up(client: httpx.AsyncClient, rng: random.Random) -> str:
    """Go away before there is any answer."""
    body = {"text": words(rng, 200), "sampling_params": {"max_new_tokens": 400}}
    try:
        await client.post("/generate", json=body, timeout=rng.uniform(0.01, 0.2))
    except httpx.TimeoutException:
        return "left"
    return "200"


async def schema(client: httpx.AsyncClient, rng: random.Random) -> str:
    name = f"f{rng.randrange(200)}"
    grammar = {"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]}
    params = {"json_schema": json.dumps(grammar), "max_new_tokens": 24}
    body = {"text": words(rng, 5), "sampling_params": params}
    return _status(await client.post("/generate", json=body), 200)


async def session(client: httpx.AsyncClient, rng: random.Random) -> str:
    opened = await client.post("/open_session", json={"capacity_of_str_len": 5000})
    place = {"id": opened.json()}
    for _ in range(2):
        params = {"max_new_tokens": 4}
        body = {"text": words(rng, 5), "session_params": place, "sampling_params": params}
        answer = await client.post("/generate", json=body)
        if answer.status_code != 200:
            return _status(answer, 200)
        place = {**place, "rid": answer.json()["meta_info"]["id"]}
    return _status(await client.post("/close_session", json={"session_id": place["id"]}), 200)


async def respond(client: httpx.AsyncClient, rng: random.Random) -> str:
    is_background = rng.random() < 0.5
    body = {"input": words(rng, 6), "max_output_tokens": 16, "background": is_background}
    made = await client.post("/v1/responses", json=body)
    if made.status_code != 200:
        return _status(made, 200)
    return _status(await client.delete(f"/v1/responses/{made.json()['id']}"), 200)


async def file(client: httpx.AsyncClient, rng: random.Random) -> str:
    form = {"file": ("soak.txt", words(rng, 500).encode())}
    made = await client.post("/v1/files", files=form, data={"purpose": "user_data"})
    if made.status_code != 200:
        return _status(made, 200)
    return _status(await client.delete(f"/v1/files/{made.json()['id']}"), 200)


BAD: tuple[tuple[str, bytes], ...] = (
    ("/generate", b'{"text": '),
    ("/generate", b'{"text": ""}'),
    ("/generate", b'{"text": "a", "sampling_params": {"n": 1000000000}}'),
    ("/generate", b'{"text": "a", "sampling_params": {"temperature": NaN}}'),
    ("/generate", b'{"text": "a", "sampling_params": {"regex": "(("}}'),
    ("/generate", b'{"input_ids": [99999999]}'),
    ("/generate", b'{"text": "' + b"x" * 2_000_000 + b'"}'),
    ("/generate", b'{"text": ' + b"[" * 3000 + b"]" * 3000 + b"}"),
    ("/v1/completions", b'{"prompt": "\xff"}'),
    ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": [{"type": {}}]}]}'),
    ("/v1/responses", b'{"input": [{"type": []}]}'),
    ("/v1/messages", b'{"model": "m", "max_tokens": 0, "messages": []}'),
)


async def bad(client: httpx.AsyncClient, rng: random.Random) -> str:
    path, body = rng.choice(BAD)
    return _status(await client.post(path, content=body), 400)


async def half_a_request(client: httpx.AsyncClient, rng: random.Random) -> str:
    """Announce more than is sent, and close the connection."""
    address = client.base_url
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    return "left"


ACTS: tuple[tuple[Act, int], ...] = (
    (generate, 6),
    (chat, 4),
    (stream, 6),
    (disconnect, 3),
    (give_up, 2),
    (schema, 1),
    (session, 1),
    (respond, 1),
    (file, 1),
    (bad, 4),
    (half_a_request, 1),
)
KINDS, WEIGHTS = [act for act, _ in ACTS], [weight for _, weight in ACTS]


def _status(response: httpx.Response, wanted: int) -> str:
    if response.status_code == wanted:
        return str(wanted)
    return f"{response.request.url.path}: {response.status_code} {response.text[:200]}"


async def load(url: str, seed: int, tally: Tally, is_over: Callable[[], bool]) -> None:
    """Clients that do one thing after the other until ``is_over``."""

    async def one(number: int) -> None:
        rng = random.Random(seed * 1000 + number)
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
            while not is_over():
                [act] = rng.choices(KINDS, WEIGHTS)
                try:
                    result = await act(client, rng)
                except httpx.HTTPError as error:
                    result = f"{type(error).__name__}: {error}"
                kind = act.__name__
                tally.answers[kind] += 1
                if result not in ("200", "400", "left"):
                    tally.faults.append(f"{kind}: {result}")

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))


# --------------------------------------------------------------------------------------
# The server
# --------------------------------------------------------------------------------------


def start(arguments: list[str], storage: str) -> tuple[subprocess.Popen[bytes], str]:
    """A server that is ready, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sglang.launch_server", "--port", str(port)]
    command += ["--log-level", "warning", "--file-storage-pth", storage]
    # A pool so small that it is soon used all over, and so full that requests are retracted.
    command += ["--max-total-tokens", str(POOL_TOKENS), *arguments]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    process.kill()
    raise SystemExit("error: the server did not start")


def processes(api: int) -> dict[str, int]:
    """The processes of a server by name."""
    found = {"api": api}
    for pid in Path(f"/proc/{api}/task/{api}/children").read_text().split():
        if b"managers.engine" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found["engine"] = int(pid)
    return found


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def snapshot(pid: int, url: str) -> Snapshot:
    """What the server holds, once nothing runs any more and the cache is empty."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        state = httpx.get(f"{url}/get_server_info", trust_env=False).json()["internal_states"][0]
        if not any(state[name] for name in AT_REST) or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    httpx.post(f"{url}/flush_cache", trust_env=False)
    state = httpx.get(f"{url}/get_server_info", trust_env=False).json()["internal_states"][0]
    pids = processes(pid)
    return Snapshot(
        rss_mb={name: rss_mb(each) for name, each in pids.items()},
        open_files={name: len(os.listdir(f"/proc/{each}/fd")) for name, each in pids.items()},
        gauges={name: state[name] for name in (*AT_REST, "num_used_tokens", "num_cached_tokens")},
    )


async def soak(pid: int, url: str, minutes: float, seed: int, tally: Tally) -> None:
    """The load, and meanwhile a line now and then that says how much memory there is."""
    end = time.monotonic() + 60 * minutes
    work = asyncio.create_task(load(url, seed, tally, lambda: time.monotonic() > end))
    while not (await asyncio.wait({work}, timeout=SAMPLE_SECONDS))[0]:
        sizes = ", ".join(f"{name} {rss_mb(each):.0f} MB" for name, each in processes(pid).items())
        print(f"{tally.answers.total()} requests, {sizes}", flush=True)
    work.result()


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is left or grew, in words."""
    found = [
        f"{name} was {before.gauges[name]} and is {value}"
        for name, value in after.gauges.items()
        if value != before.gauges[name]
    ]
    for name, size in after.rss_mb.items():
        limit = before.rss_mb[name] * (1 + RSS_SLACK) + RSS_SLACK_MB
        if size > limit:
            found.append(f"memory of {name}: {before.rss_mb[name]:.0f} MB, now {size:.0f} MB")
    for name, count in after.open_files.items():
        if count > before.open_files[name] + FD_SLACK:
            found.append(f"open files of {name}: {before.open_files[name]}, now {count}")
    return found


def run(minutes: float, seed: int, arguments: list[str]) -> list[str]:
    """Everything that is wrong after the soak."""
    with tempfile.TemporaryDirectory() as storage:
        process, url = start(arguments, f"{storage}/files")
        try:
            warm_up = Tally()
            asyncio.run(
                load(url, seed, warm_up, lambda: warm_up.answers.total() >= WARM_UP_REQUESTS)
            )
            before = snapshot(process.pid, url)
            tally = Tally()
            asyncio.run(soak(process.pid, url, minutes, seed + 1, tally))
            if process.poll() is not None:
                return ["the server has ended"]
            after = snapshot(process.pid, url)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    print(f"{tally.answers.total()} requests: {dict(tally.answers.most_common())}")
    for what in ("rss_mb", "open_files", "gauges"):
        print(f"{what}: {getattr(before, what)} -> {getattr(after, what)}")
    problems = differences(before, after)
    problems += [f"{n} times: {fault}" for fault, n in Counter(tally.faults).most_common(20)]
    if process.returncode:
        problems.append(f"the server ended with status {process.returncode}")
    return problems


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options, arguments = parser.parse_known_args(argv)
    problems = run(options.minutes, options.seed, arguments)
    for problem in problems:
        print(f"  {problem}")
    print("FAILED" if problems else "PASSED")
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
