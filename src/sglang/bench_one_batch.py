"""Measures static batches without a server: prefill latency and the latency of each decode step.

    python -m sglang.bench_one_batch --model-path MODEL --batch 1 8 --input-len 256 --output-len 32

Takes every option of the server as well. The model runs in this process and nothing else does;
prompts are random token ids, answers have exactly the length asked for, and a prompt is not
chunked unless ``--chunked-prefill-size`` is given.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sglang.bench.option_types import positive_int
from sglang.bench.report import append_jsonl
from sglang.bench.static_batch import BatchTimes
from sglang.cli.serve import missing_runtime
from sglang.srt.server_args import ServerArgs
from sglang.srt.server_args.command_line import ServerArgumentParser, server_args_from

if TYPE_CHECKING:
    from sglang.bench.in_process import InProcessEngine

Shape = tuple[int, int, int]
"""Requests in a batch, tokens of a prompt, tokens of an answer."""

WARM_UP_TOKENS = 4
PROFILED_TOKENS = 8
"""Longer traces are too large to look at."""


@dataclass(frozen=True)
class BatchOptions:
    """The options that are not the server's."""

    batch_size: list[int]
    input_len: list[int]
    output_len: list[int]
    run_name: str
    result_filename: str | None
    correct: bool
    profile: bool
    seed: int

    @property
    def shapes(self) -> list[Shape]:
        return list(itertools.product(self.batch_size, self.input_len, self.output_len))


def main(argv: Sequence[str], prog: str = "sglang bench one-batch") -> int:
    """Measure every combination of the given sizes; returns the exit status."""
    options, args = parse(argv, prog)
    if missing := missing_runtime():
        print(f"{prog}: no module {missing}: pip install 'sglang[srt]'", file=sys.stderr)
        return 1
    try:
        if options.correct:
            from sglang.bench.correctness import print_outputs

            print_outputs(args, options.output_len[0])
        else:
            _measure(options, args)
    except (ValueError, OSError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str], prog: str) -> tuple[BatchOptions, ServerArgs]:
    """The tool's options and the server's; exits like argparse if they are wrong."""
    parser = ServerArgumentParser(prog, "Measure static batches, without a server.")
    group = parser.add_argument_group("Benchmark")
    for flag, default, text in (
        ("--batch-size", 1, "requests in a batch"),
        ("--input-len", 1024, "tokens of each prompt"),
        ("--output-len", 16, "tokens of each answer"),
    ):
        help_text = f"{text}; several values are measured in turn (default: {default})"
        group.add_argument(
            flag, type=positive_int, nargs="+", default=[default], metavar="N", help=help_text
        )
    group.add_argument("--run-name", default="default", help="a name for the results")
    group.add_argument(
        "--result-filename",
        default=None,
        metavar="FILE",
        help="add the results to this file, a line of JSON for each batch",
    )
    group.add_argument(
        "--correct",
        action="store_true",
        default=False,
        help="instead of measuring, print the prefill logits and the greedy text of some prompts",
    )
    group.add_argument(
        "--profile",
        action="store_true",
        default=False,
        help="record a torch profiler trace of each batch in $SGLANG_TORCH_PROFILER_DIR",
    )
    group.add_argument("--seed", type=int, default=1, help="seed of the prompts (default: 1)")
    given = vars(parser.parse_args(argv))
    names = BatchOptions.__dataclass_fields__
    options = BatchOptions(**{name: given.pop(name) for name in names})
    return options, server_args_from(parser, given)


def _measure(options: BatchOptions, args: ServerArgs) -> None:
    from sglang.bench.in_process import InProcessEngine
    from sglang.bench.profiler import trace_directory
    from sglang.bench.weights_read import weight_bytes_read

    directory = trace_directory() if options.profile else None
    engine = InProcessEngine(_room_for_all(args, options.shapes))
    _check_room(engine.info, options.shapes)
    kv_token_bytes = engine.info["kv_cache_bytes"] // engine.info["max_total_num_tokens"]
    rng = random.Random(options.seed)
    for shape in options.shapes:
        _run(engine, rng, shape, at_most=WARM_UP_TOKENS)
        weight_bytes = weight_bytes_read(engine.runner.model, shape[0])
        figures = _run(engine, rng, shape).figures(weight_bytes, kv_token_bytes)
        _print(shape, figures)
        if options.result_filename:
            record = {"run_name": options.run_name, "model": args.model_path}
            sizes = dict(zip(("batch_size", "input_len", "output_len"), shape, strict=True))
            append_jsonl(options.result_filename, {**record, **sizes, **figures})
        if directory is not None:
            _profile(engine, rng, shape, directory)


def _room_for_all(args: ServerArgs, shapes: Sequence[Shape]) -> ServerArgs:
    """Limits under which each batch starts in one step, where they were not given."""
    changes: dict[str, Any] = {}
    if args.chunked_prefill_size is None:
        changes["chunked_prefill_size"] = -1
        most = max(batch * prompt for batch, prompt, _ in shapes)
        changes["max_prefill_tokens"] = max(args.max_prefill_tokens, most)
    if args.max_running_requests is None:
        changes["max_running_requests"] = max(batch for batch, _, _ in shapes)
    return replace(args, **changes)


def _check_room(info: dict[str, Any], shapes: Sequence[Shape]) -> None:
    for batch, prompt, answer in shapes:
        length = prompt + answer
        if length > info["context_length"]:
            raise ValueError(
                f"--input-len {prompt} and --output-len {answer} are {length} tokens; the context "
                f"has {info['context_length']}"
            )
        if batch * length > info["max_total_num_tokens"]:
            raise ValueError(
                f"{batch} x {length} tokens are more than the KV cache's "
                f"{info['max_total_num_tokens']}; lower --batch-size or raise --max-total-tokens"
            )
        if batch > info["max_running_requests"]:
            raise ValueError(
                f"--batch-size {batch} is more than --max-running-requests "
                f"{info['max_running_requests']}"
            )


def _run(
    engine: InProcessEngine, rng: random.Random, shape: Shape, at_most: int | None = None
) -> BatchTimes:
    """Run one batch of fresh random prompts, with answers of ``at_most`` so many tokens."""
    batch, prompt, answer = shape
    answer = min(answer, at_most or answer)
    vocabulary = range(engine.runner.model.vocab_size)
    prompts = [rng.choices(vocabulary, k=prompt) for _ in range(batch)]
    return BatchTimes.of(engine.run(prompts, [answer] * batch), batch, prompt, answer)


def _profile(engine: InProcessEngine, rng: random.Random, shape: Shape, directory: Path) -> None:
    from sglang.bench.profiler import torch_trace

    with torch_trace(directory, "batch{}-input{}-output{}".format(*shape)) as path:
        _run(engine, rng, shape, at_most=PROFILED_TOKENS)
    print(f"  trace: {path}")


def _print(shape: Shape, figures: dict[str, float]) -> None:
    print("batch {}, input {}, output {}".format(*shape))
    print(
        f"  prefill  {figures['prefill_latency_ms']:10.2f} ms"
        f"  {figures['prefill_throughput']:10.1f} tok/s"
    )
    if "median_decode_ms" in figures:
        print(
            f"  decode   {figures['median_decode_ms']:10.2f} ms"
            f"  {figures['decode_throughput']:10.1f} tok/s"
            f"  p99 {figures['p99_decode_ms']:.2f} ms" + _bandwidth(figures)
        )
    print(
        f"  total    {figures['total_latency_ms']:10.2f} ms"
        f"  {figures['total_throughput']:10.1f} tok/s",
        flush=True,
    )


def _bandwidth(figures: dict[str, float]) -> str:
    if "weight_bandwidth_gb_s" not in figures:
        return ""
    weights, both = figures["weight_bandwidth_gb_s"], figures["memory_bandwidth_gb_s"]
    return f"  weights {weights:.1f} GB/s, with KV {both:.1f} GB/s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m sglang.bench_one_batch"))
