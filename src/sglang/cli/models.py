"""``sglang models``: what can be served, and what would become of a checkpoint."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sglang.srt.models.catalog import Listed, Verdict

FLAGS = ("--json", "--transformers", "--is-embedding", "--model-impl", "--dtype")
"""For tab completion."""


def main(argv: Sequence[str], prog: str = "sglang models") -> int:
    """Print the table, or the verdict on a checkpoint; 1 if nothing would run that."""
    parser = _parser(prog)
    given = parser.parse_args(list(argv))
    from sglang.srt.models.catalog import own_models, transformers_models

    if given.path is None:
        models = list(own_models())
        if given.transformers:
            models += transformers_models()
        print(_as_json([asdict(each) for each in models]) if given.json else _table(models))
        return 0
    try:
        verdict = _judge(given)
    except (ValueError, OSError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 1
    print(_as_json(asdict(verdict)) if given.json else "\n".join(_lines(verdict)))
    return 1 if verdict.reason else 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="List the architectures that can be served, or say what would become of a "
        "checkpoint: what runs it, or why nothing does, and how much memory it takes. No weights "
        "are loaded.",
    )
    parser.add_argument(
        "path", nargs="?", metavar="MODEL", help="a folder, a GGUF file, or a name on the hub"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--transformers",
        action="store_true",
        help="also list what runs through transformers (takes some seconds to find out)",
    )
    parser.add_argument(
        "--is-embedding", action="store_true", help="ask for embeddings, as in sglang serve"
    )
    parser.add_argument(
        "--model-impl",
        choices=("auto", "sglang", "transformers"),
        default="auto",
        help="whose code is to run it, as in sglang serve",
    )
    parser.add_argument("--dtype", default="auto", help="as in sglang serve")
    return parser


def _judge(given: argparse.Namespace) -> Verdict:
    from sglang.srt.configs.model_config import load_model_config
    from sglang.srt.model_loader.hub import resolve_model_path
    from sglang.srt.models.catalog import judge

    path = resolve_model_path(given.path, load_format="dummy")
    config = load_model_config(
        path, dtype=given.dtype, is_embedding=given.is_embedding, model_impl=given.model_impl
    )
    return judge(config)


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _table(models: Iterable[Listed]) -> str:
    rows = [("architecture", "runs", "tasks", "by")]
    for each in models:
        rows.append((each.architecture, each.status, ", ".join(each.tasks), each.source))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


_RUNS = {
    "page": "sglang's own code",
    "plug-in": "a class of an installed package",
    "registered": "a class that was registered",
    "transformers": "transformers' module with our attention and batching, slower than a page",
    "refused": "nothing",
}


def _lines(verdict: Verdict) -> Iterable[str]:
    yield f"architecture  {verdict.architecture}"
    yield (
        f"runs by       {_RUNS[verdict.status]}" + (": " if verdict.reason else "") + verdict.reason
    )
    yield f"task          {verdict.task}"
    yield f"context       {verdict.context_length:,} tokens"
    stored = f", stored as {verdict.quantization}" if verdict.quantization else ""
    yield f"dtype         {verdict.dtype}{stored}"
    if verdict.num_parameters is None or verdict.weight_bytes is None:
        yield "parameters    unknown: there are no weights here"
    else:
        yield f"parameters    {verdict.num_parameters:,}"
        most = "at most " if verdict.quantization else ""
        yield f"weights       {most}{_size(verdict.weight_bytes)} in memory"
    if verdict.kv_bytes_per_token is not None:
        whole = verdict.kv_bytes_per_token * verdict.context_length
        yield (
            f"KV cache      {_size(verdict.kv_bytes_per_token)} a token, {_size(whole)} for a full "
            "context"
        )


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
