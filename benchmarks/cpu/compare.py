"""Runs our server and every installed peer in turn on the same workloads, and prints ratios.

    python benchmarks/cpu/compare.py --model DIR/llama-135m --model DIR/llama-0.5b

One server runs at a time and one load generator drives them all. Servers take turns in several
rounds, so that slow changes of the machine do not look like differences. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compare_table import SERVER, Record, read_records, tables
from peer_process import RunningPeer, running
from peers import BUILT_IN, Peer, facts_for, parse_peer, read_peers
from workloads import WORKLOADS, Draw, Target, id_pool

from sglang.bench.backends import BACKENDS, RequestSettings
from sglang.bench.client import Client, open_session
from sglang.bench.option_types import positive_float, positive_int
from sglang.bench.report import append_jsonl
from sglang.bench.tokenizers import open_tokenizer
from sglang.utils import reserve_port

WARM_UP_REQUESTS, WARM_UP_INPUT, WARM_UP_OUTPUT = 4, 48, 8


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or print tables again; returns the exit status: 1 if nothing was measured."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.tables:
        _show(read_records(options.tables), options.plot)
        return 0
    if not options.model:
        parser.error("--model is needed")
    try:
        peers = _chosen_peers(options)
    except ValueError as error:
        parser.error(str(error))
    records: list[Record] = []
    for number in range(options.rounds):
        for model in options.model:
            for name, peer in peers.items():
                records += _visit(options, number, model, name, peer)
    if not records:
        return 1
    print()
    _show(records, options.plot)
    return 0


def _show(records: Sequence[Record], picture: Path | None) -> None:
    print(tables(records))
    if picture:
        from compare_plot import plot

        plot(records, picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, action="append", help="a checkpoint's folder; may be repeated"
    )
    parser.add_argument("--peers", type=Path, metavar="FILE", help="YAML file of more recipes")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME[:API]=COMMAND",
        help="one more server; {port}, {model}, {name}, {models} and {threads} are filled in",
    )
    parser.add_argument("--only", help="names of servers, with commas between (default: all)")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="default: %(default)s")
    parser.add_argument("--rounds", type=positive_int, default=3, help="default: 3")
    parser.add_argument(
        "--repeats", type=positive_int, default=3, help="of a workload in a round (default: 3)"
    )
    parser.add_argument(
        "--budget",
        type=positive_float(),
        default=60.0,
        metavar="S",
        help="start no other repeat of a workload after this many seconds (default: 60)",
    )
    parser.add_argument(
        "--scale",
        type=positive_float(maximum=1.0),
        default=1.0,
        help="less than 1: fewer requests, to try things out",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-timeout", type=positive_float(), default=420.0, metavar="S")
    parser.add_argument("--request-timeout", type=positive_float(), default=600.0, metavar="S")
    parser.add_argument("--out", type=Path, metavar="FILE", help="add every result as JSON lines")
    parser.add_argument(
        "--logs", type=Path, default=Path("compare-logs"), help="folder for the servers' output"
    )
    parser.add_argument(
        "--tables", type=Path, metavar="FILE", help="only print the tables of such a file"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="also draw them (svg, png or pdf; matplotlib)"
    )
    return parser


def _chosen_peers(options: argparse.Namespace) -> dict[str, Peer]:
    peers = dict(BUILT_IN)
    if options.peers:
        peers.update(read_peers(options.peers))
    peers.update(parse_peer(text) for text in options.peer)
    for name in options.workloads.split(","):
        if name not in WORKLOADS:
            raise ValueError(f"--workloads: there is no {name!r}")
    if not options.only:
        return peers
    names = options.only.split(",")
    for name in names:
        if name not in peers:
            raise ValueError(f"--only: there is no {name!r}; there are {', '.join(peers)}")
    return {name: peers[name] for name in names}


def _visit(
    options: argparse.Namespace, number: int, model: Path, name: str, peer: Peer
) -> list[Record]:
    """Start one server, measure it, stop it."""
    with reserve_port() as reservation:
        facts = facts_for(model.resolve(), reservation.getsockname()[1])
        title = f"{name} on {facts['name']}"
        if missing := peer.missing(facts):
            if number == 0:
                print(f"{title}: left out, {missing}", flush=True)
            return []
        print(f"{title}, round {number + 1} of {options.rounds}", flush=True)
        filled = peer.with_facts(facts)
        url = f"http://127.0.0.1:{facts['port']}"
        log = options.logs / f"{name}-{facts['name']}.log"
        label = {
            "model": facts["name"],
            "server": name,
            "weights": peer.weights,
            "is_ours": peer.is_ours,
            "round": number,
        }
        try:
            with running(
                filled.command, dict(filled.env), url + peer.health, log, options.start_timeout
            ) as server:
                return asyncio.run(_measure(options, filled, url, model, label, server))
        except RuntimeError as error:
            print(f"{title}: {error}", flush=True)
            return []


async def _measure(
    options: argparse.Namespace,
    peer: Peer,
    url: str,
    model: Path,
    label: Record,
    server: RunningPeer,
) -> list[Record]:
    records: list[Record] = []

    def keep(record: Record) -> None:
        records.append({**label, "time": time.strftime("%Y-%m-%dT%H:%M:%S"), **record})
        if options.out:
            append_jsonl(options.out, records[-1])

    tokenizer = open_tokenizer(str(model))
    pool = id_pool(tokenizer, as_text=peer.as_text)
    async with open_session(options.request_timeout) as session:
        target = Target(
            completion=Client(session, url, BACKENDS[peer.api]),
            chat=Client(session, url, BACKENDS["openai-chat"]),
            settings=RequestSettings(model=peer.model_name, omit=frozenset(peer.omit)),
            tokenizer=tokenizer,
            as_text=peer.as_text,
        )
        await _warm_up(target, pool)
        for name in options.workloads.split(","):
            await _repeat(options, name, target, pool, label["round"], keep)
    keep(
        {
            "workload": SERVER,
            "start_s": server.start_s,
            "peak_memory_mb": server.peak_memory_mb(),
        }
    )
    return records


async def _warm_up(target: Target, pool: Sequence[int]) -> None:
    draw = Draw(pool, "warm-up")
    prompts = [draw.ids(WARM_UP_INPUT) for _ in range(WARM_UP_REQUESTS)]
    for answer in await asyncio.gather(*[target.complete(p, WARM_UP_OUTPUT) for p in prompts]):
        if answer.error:
            raise RuntimeError(f"it does not answer: {answer.error}")


async def _repeat(
    options: argparse.Namespace,
    name: str,
    target: Target,
    pool: Sequence[int],
    number: int,
    keep: Callable[[Record], None],
) -> None:
    """Run one workload as often as is asked for and the budget of time allows."""
    workload = WORKLOADS[name]
    values: list[float] = []
    errors = ""
    began = time.perf_counter()
    for repeat in range(options.repeats * workload.repeats):
        if repeat and time.perf_counter() - began > options.budget:
            break
        # The same prompts for every server, and other ones in every repeat and round.
        draw = Draw(pool, f"{options.seed}-{number}-{name}-{repeat}", options.scale)
        found = await workload.run(target, draw)
        keep({"workload": name, "repeat": repeat, "scale": options.scale, **found})
        if found["errors"]:
            errors = f"{found['errors']} of {found['requests']} failed: {found['first_error']}"
            break
        if workload.figure in found:
            values.append(found[workload.figure])
    if values:
        low, middle, high = min(values), statistics.median(values), max(values)
        runs = f"{len(values)} runs, {low:.2f}-{high:.2f}"
        print(f"  {workload.title:18} {middle:10.2f} {workload.unit} ({runs})", flush=True)
    if errors or not values:
        print(f"  {workload.title:18} {errors or 'no figure'}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
