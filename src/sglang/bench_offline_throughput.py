"""Measures the throughput of an offline engine: all prompts at once, no server.

    python -m sglang.bench_offline_throughput --model-path MODEL --num-prompts 10

Takes every option of the server as well. With ``--profile`` the engine runs in this process, where
the profiler sees it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sglang.bench.datasets import DatasetOptions, add_dataset_options, load_prompts
from sglang.bench.metrics import throughput
from sglang.bench.option_types import json_object
from sglang.bench.prompts import Prompt
from sglang.bench.report import append_jsonl, figures
from sglang.bench.tokenizers import open_tokenizer
from sglang.cli.serve import missing_runtime
from sglang.srt.server_args import ServerArgs
from sglang.srt.server_args.command_line import ServerArgumentParser, server_args_from
from sglang.srt.tokenizer.tokenizer import Tokenizer

WARM_UP_TOKENS = 16


@dataclass(frozen=True)
class OfflineOptions:
    """The options that are neither the server's nor the data set's."""

    result_filename: str | None
    disable_ignore_eos: bool
    extra_request_body: dict[str, Any]
    skip_warmup: bool
    profile: bool


def main(argv: Sequence[str], prog: str = "sglang bench offline") -> int:
    """Run one benchmark; returns the exit status."""
    options, dataset, args = parse(argv, prog)
    if missing := missing_runtime():
        print(f"{prog}: no module {missing}: pip install 'sglang[srt]'", file=sys.stderr)
        return 1
    try:
        _measure(options, dataset, args)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


def parse(argv: Sequence[str], prog: str) -> tuple[OfflineOptions, DatasetOptions, ServerArgs]:
    """The tool's options and the server's; exits like argparse if they are wrong."""
    parser = ServerArgumentParser(prog, "Measure the throughput of an offline engine.")
    add_dataset_options(parser)
    _add_options(parser)
    namespace = parser.parse_args(argv)
    dataset = DatasetOptions.take_from(namespace)
    given = vars(namespace)
    options = OfflineOptions(
        **{name: given.pop(name) for name in OfflineOptions.__dataclass_fields__}
    )
    return options, dataset, server_args_from(parser, given)


def _add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Benchmark")
    group.add_argument(
        "--result-filename",
        "--output-file",
        default=None,
        metavar="FILE",
        help="add the results to this file as a line of JSON",
    )
    group.add_argument(
        "--disable-ignore-eos",
        action="store_true",
        default=False,
        help="let answers end where the model ends them",
    )
    group.add_argument(
        "--extra-request-body",
        type=json_object,
        default={},
        metavar="JSON",
        help="an object with more sampling parameters",
    )
    group.add_argument(
        "--skip-warmup", action="store_true", default=False, help="measure the first request too"
    )
    group.add_argument(
        "--profile",
        action="store_true",
        default=False,
        help="record a torch profiler trace in $SGLANG_TORCH_PROFILER_DIR",
    )


def _measure(options: OfflineOptions, dataset: DatasetOptions, args: ServerArgs) -> None:
    tokenizer = open_tokenizer(args.tokenizer_path, revision=args.revision)
    prompts = load_prompts(dataset, tokenizer)
    if options.profile:
        _profile(options, prompts, tokenizer, args)
        return
    duration, answers = _run(options, prompts, args)
    counts = [answer["meta_info"] for answer in answers]
    input_tokens = sum(meta["prompt_tokens"] for meta in counts)
    output_tokens = sum(meta["completion_tokens"] for meta in counts)
    metrics: dict[str, float] = {
        "completed": len(answers),
        "duration": duration,
        "total_input_tokens": input_tokens,
        "total_cached_tokens": sum(meta["cached_tokens"] for meta in counts),
        "total_output_tokens": output_tokens,
        **throughput(len(answers), input_tokens, output_tokens, duration),
    }
    print(figures("Offline throughput", {"Model": args.model_path}, metrics))
    if options.result_filename:
        record = {**asdict(dataset), "model": args.model_path, "num_prompts": len(prompts)}
        record["extra_request_body"] = options.extra_request_body
        append_jsonl(options.result_filename, {**record, **metrics})


def _run(
    options: OfflineOptions, prompts: Sequence[Prompt], args: ServerArgs
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds from handing over all prompts to the last answer, and the answers."""
    from sglang.srt.entrypoints.engine import Engine

    sampling = [
        {
            "temperature": 0.0,
            "max_new_tokens": prompt.output_len,
            "ignore_eos": not options.disable_ignore_eos,
            **options.extra_request_body,
        }
        for prompt in prompts
    ]
    with Engine(server_args=args) as engine:
        if not options.skip_warmup:
            warm_up = {**sampling[0], "max_new_tokens": WARM_UP_TOKENS}
            engine.generate(sampling_params=[warm_up], **_as_batch(prompts[:1]))
            engine.flush_cache()
        start = time.perf_counter()
        answers: Any = engine.generate(sampling_params=sampling, **_as_batch(prompts))
        return time.perf_counter() - start, answers


def _as_batch(prompts: Sequence[Prompt]) -> dict[str, Any]:
    contents = [prompt.content for prompt in prompts]
    if len({type(content) for content in contents}) > 1:
        raise ValueError("a file with texts and token ids mixed cannot be given to one call")
    return {"prompt" if isinstance(contents[0], str) else "input_ids": contents}


def _profile(
    options: OfflineOptions, prompts: Sequence[Prompt], tokenizer: Tokenizer, args: ServerArgs
) -> None:
    from sglang.bench.in_process import InProcessEngine
    from sglang.bench.profiler import torch_trace, trace_directory

    if options.extra_request_body or options.disable_ignore_eos:
        raise ValueError("--profile takes neither --extra-request-body nor --disable-ignore-eos")
    directory = trace_directory()
    contents = [prompt.content for prompt in prompts]
    ids = [tokenizer.encode(text) if isinstance(text, str) else text for text in contents]
    lengths = [prompt.output_len for prompt in prompts]
    engine = InProcessEngine(args)
    if not options.skip_warmup:
        engine.run(ids[:1], [min(lengths[0], WARM_UP_TOKENS)])
    with torch_trace(directory, "offline") as path:
        steps = engine.run(ids, lengths)
    print(f"{len(steps)} steps with {sum(lengths)} new tokens; trace: {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m sglang.bench_offline_throughput"))
