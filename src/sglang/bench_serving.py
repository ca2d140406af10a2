"""Measures a running server: throughput and latencies under a chosen load.

    python -m sglang.bench_serving --backend sglang --num-prompts 10

The server may be of any kind in ``--backend``. Lengths, arrival times and prompts follow from the
options and ``--seed`` alone, so that two servers can be given the same work.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sglang.bench.backends import BACKENDS, RequestSettings
from sglang.bench.datasets import DatasetOptions, add_dataset_options, load_prompts
from sglang.bench.metrics import serving_metrics
from sglang.bench.option_types import json_object, natural_int, positive_float, positive_int
from sglang.bench.prompts import Prompt
from sglang.bench.report import append_jsonl, figures
from sglang.bench.tokenizers import open_tokenizer
from sglang.bench.traffic import send_all

if TYPE_CHECKING:
    from sglang.bench.answers import Answer
    from sglang.bench.client import Client
    from sglang.srt.tokenizer.tokenizer import Tokenizer


def main(argv: Sequence[str], prog: str = "sglang bench serving") -> int:
    """Run one benchmark; returns the exit status: 1 if every request failed."""
    options, dataset = parse(argv, prog)
    if importlib.util.find_spec("aiohttp") is None:
        print(f"{prog}: needs aiohttp: pip install 'sglang[bench]'", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(options, dataset))
    except (ValueError, OSError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parse(argv: Sequence[str], prog: str) -> tuple[argparse.Namespace, DatasetOptions]:
    """The options of a run and those of its prompts; exits like argparse if they are wrong."""
    options = _parser(prog).parse_args(list(argv))
    return options, DatasetOptions.take_from(options)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Measure a running server under a chosen load."
    )
    server = parser.add_argument_group("Server")
    server.add_argument("--backend", choices=list(BACKENDS), default="sglang", help="its protocol")
    server.add_argument("--base-url", metavar="URL", help="instead of --host and --port")
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=positive_int, help="default: the usual one of the backend")
    server.add_argument(
        "--model", "--model-path", help="the model's name in requests (default: ask the server)"
    )
    server.add_argument(
        "--tokenizer", metavar="PATH", help="a folder or hub name (default: the model's)"
    )
    add_dataset_options(parser)
    load = parser.add_argument_group("Load")
    load.add_argument(
        "--request-rate",
        type=positive_float(),
        default=math.inf,
        metavar="R",
        help="requests a second, arriving as a Poisson process (default: inf, all at once)",
    )
    load.add_argument(
        "--max-concurrency",
        type=positive_int,
        metavar="N",
        help="the most requests under way at a time",
    )
    load.add_argument(
        "--warmup-requests",
        type=natural_int,
        default=1,
        metavar="N",
        help="requests before the measurement (default: 1)",
    )
    _add_request_options(parser.add_argument_group("Requests"))
    _add_output_options(parser.add_argument_group("Output"))
    return parser


def _add_request_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--disable-stream", action="store_true", help="ask for whole answers")
    group.add_argument(
        "--disable-ignore-eos",
        action="store_true",
        help="let answers end where the model ends them",
    )
    group.add_argument(
        "--extra-request-body",
        type=json_object,
        default={},
        metavar="JSON",
        help="an object with more fields for each request",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output-file", metavar="FILE", help="add the results to this file as a line of JSON"
    )
    group.add_argument(
        "--output-details",
        action="store_true",
        help="with lengths, times, text and error of every request",
    )
    group.add_argument("--disable-tqdm", action="store_true", help="show no progress bar")
    group.add_argument(
        "--profile",
        action="store_true",
        help="have the server record a trace (SGLANG_TORCH_PROFILER_DIR must be set there)",
    )


async def _run(options: argparse.Namespace, dataset: DatasetOptions) -> int:
    from sglang.bench.client import Client, open_session

    backend = BACKENDS[options.backend]
    url = options.base_url or f"http://{options.host}:{options.port or backend.port}"
    async with open_session() as session:
        client = Client(session, url, backend)
        model = options.model or await _model_name(client)
        tokenizer = await _open_tokenizer(client, options, model)
        prompts = load_prompts(dataset, tokenizer)
        settings = RequestSettings(
            model=model,
            stream=not options.disable_stream,
            ignore_eos=not options.disable_ignore_eos,
            extra=options.extra_request_body,
        )
        await _warm_up(client, settings, prompts, options.warmup_requests)
        if backend.is_ours:
            await client.post("/flush_cache")
        if options.profile:
            await _profiler(client, "start")
        answers, duration = await _measure(client, settings, prompts, options, dataset.seed)
        if options.profile:
            await _profiler(client, "stop")
    metrics = serving_metrics(answers, [prompt.input_len for prompt in prompts], duration)
    _report(options, dataset, model, prompts, answers, metrics)
    return 0 if metrics["completed"] else 1


async def _model_name(client: Client) -> str:
    """The first model that the server lists."""
    listed = await client.get_json("/v1/models")
    try:
        return str(listed["data"][0]["id"])
    except (LookupError, TypeError):
        raise ValueError(f"{client.base_url} lists no model; give --model") from None


async def _open_tokenizer(client: Client, options: argparse.Namespace, model: str) -> Tokenizer:
    """The one that is named, or that our own server names, or the model's."""
    path = options.tokenizer or options.model
    if path is None and BACKENDS[options.backend].is_ours:
        path = (await client.get_json("/get_model_info"))["tokenizer_path"]
    try:
        return open_tokenizer(path or model)
    except ValueError as error:
        raise ValueError(f"{error} (--tokenizer names the tokenizer for the prompts)") from None


async def _warm_up(
    client: Client, settings: RequestSettings, prompts: Sequence[Prompt], count: int
) -> None:
    """Send the first prompt some times.

    Raises:
        ValueError: the server does not answer it.
    """
    for answer in await asyncio.gather(*[client.send(prompts[0], settings) for _ in range(count)]):
        if answer.error:
            raise ValueError(f"the first request failed: {answer.error}")


async def _profiler(client: Client, action: str) -> None:
    try:
        await client.post(f"/{action}_profile")
    except ValueError as error:
        raise ValueError(f"--profile: the server cannot profile: {error}") from None


async def _measure(
    client: Client,
    settings: RequestSettings,
    prompts: Sequence[Prompt],
    options: argparse.Namespace,
    seed: int,
) -> tuple[list[Answer], float]:
    """The answers, and the seconds from the first request to the last answer."""
    with _progress(len(prompts), hidden=options.disable_tqdm) as advance:
        answers = await send_all(
            prompts,
            lambda prompt: client.send(prompt, settings),
            request_rate=options.request_rate,
            max_concurrency=options.max_concurrency,
            seed=seed,
            on_answer=lambda answer: advance(),
        )
    start = min(answer.start for answer in answers)
    return answers, max(answer.end for answer in answers) - start


@contextmanager
def _progress(total: int, *, hidden: bool) -> Iterator[Callable[[], object]]:
    """Gives a function to be called after each answer."""
    from tqdm import tqdm

    with tqdm(total=total, unit="req", disable=hidden) as bar:
        yield bar.update


def _report(
    options: argparse.Namespace,
    dataset: DatasetOptions,
    model: str,
    prompts: Sequence[Prompt],
    answers: Sequence[Answer],
    metrics: Mapping[str, float],
) -> None:
    shown = {
        "Backend": options.backend,
        "Model": model,
        "Request rate (req/s)": options.request_rate,
        "Max concurrency": options.max_concurrency or "unlimited",
    }
    print(figures("Serving benchmark", shown, metrics))
    first_error = next((answer.error for answer in answers if answer.error), None)
    if first_error:
        print(f"First error: {first_error}", file=sys.stderr)
    if not options.output_file:
        return
    # JSON has no infinity.
    rate = "inf" if math.isinf(options.request_rate) else options.request_rate
    record: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        **asdict(dataset),
        **vars(options),
        "model": model,
        "num_prompts": len(prompts),
        "request_rate": rate,
        **metrics,
    }
    if options.output_details:
        record.update(_details(prompts, answers))
    append_jsonl(options.output_file, record)


def _details(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> dict[str, Any]:
    """Lists with one entry a request."""
    return {
        "input_lens": [prompt.input_len for prompt in prompts],
        "output_lens": [answer.output_len for answer in answers],
        "ttfts": [answer.ttft for answer in answers],
        "itls": [answer.itls for answer in answers],
        "e2e_latencies": [answer.latency for answer in answers],
        "generated_texts": [answer.text for answer in answers],
        "errors": [answer.error for answer in answers],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m sglang.bench_serving"))
