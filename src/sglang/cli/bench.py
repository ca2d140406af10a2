"""``sglang bench``: the measuring tools under one name."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

TOOLS = {
    "serving": ("sglang.bench_serving", "a running server under a chosen load"),
    "offline": ("sglang.bench_offline_throughput", "the throughput of an offline engine"),
    "one-batch": ("sglang.bench_one_batch", "static batches: prefill and decode latency"),
}


def main(argv: Sequence[str], prog: str = "sglang bench") -> int:
    """Hand over to a tool; returns its exit status."""
    if argv and argv[0] in TOOLS:
        module = importlib.import_module(TOOLS[argv[0]][0])
        return int(module.main(argv[1:], prog=f"{prog} {argv[0]}"))
    tools = "\n".join(f"  {name:10} {text}" for name, (_, text) in TOOLS.items())
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Measure speed.",
        epilog=f"tools:\n{tools}\n\n{prog} TOOL --help says more about one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tool", choices=list(TOOLS), metavar="TOOL")
    parser.parse_args(list(argv))
    return 2
