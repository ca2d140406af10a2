"""What the benchmarks have in common: a backend by options, counting, and the report.

A benchmark is a program, its items with their labels, and a function that says whether a state
answers its item rightly. Items run in parallel, ``--parallel`` at a time.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sglang as sgl
from sglang.lang.backend.base import Backend, Generation, Stream
from sglang.lang.chat_template import MESSAGES
from sglang.lang.choices import ChoicesMethod
from sglang.lang.conversation import Prompt
from sglang.lang.function import Function
from sglang.lang.ir import Expr
from sglang.lang.program_state import ProgramState
from sglang.lang.sampling_params import SamplingParams

DATA = Path(__file__).parent / "data"

Line = dict[str, Any]

BACKENDS: dict[str, Callable[[argparse.Namespace], Backend]] = {
    "srt": lambda args: sgl.RuntimeEndpoint(
        args.base_url or f"http://{args.host}:{args.port}", api_key=args.api_key
    ),
    "openai": lambda args: sgl.OpenAI(
        args.model, is_chat_model=True, base_url=args.base_url, api_key=args.api_key
    ),
    "openai-completion": lambda args: sgl.OpenAI(
        args.model, is_chat_model=False, base_url=args.base_url, api_key=args.api_key
    ),
    "anthropic": lambda args: sgl.Anthropic(
        args.model, base_url=args.base_url, api_key=args.api_key
    ),
    "vertexai": lambda args: sgl.VertexAI(args.model),
    "litellm": lambda args: sgl.LiteLLM(args.model),
}


def parser(description: str | None, data_file: str) -> argparse.ArgumentParser:
    """The options of all benchmarks; the data file is one of ours if none is named."""
    options = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    options.add_argument("--backend", choices=list(BACKENDS), default="srt")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=30000)
    options.add_argument("--base-url", help="of the server; for other APIs than ours")
    options.add_argument("--api-key")
    options.add_argument("--model", default="default", help="its name, for other APIs than ours")
    options.add_argument("--data-file", type=Path, default=DATA / data_file)
    options.add_argument("--num-questions", type=int, default=200, help="at most so many")
    options.add_argument("--parallel", type=int, default=64, help="items at a time")
    options.add_argument("--result-file", type=Path, default=Path("result.jsonl"))
    return options


def read_lines(path: Path) -> list[Line]:
    """The objects of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def ask(s: ProgramState, question: Expr | str, answer: Expr, is_chat: bool) -> None:
    """A question and its answer: as turns where the backend knows nothing else, else as text."""
    if is_chat:
        s += sgl.user(question)
        s += sgl.assistant(answer)
    else:
        s += question
        s += answer


@dataclass
class Report:
    """What a benchmark found."""

    task: str
    backend: str
    num_requests: int
    accuracy: float | None
    """Share of right answers; None where there is no right and wrong."""
    num_failed: int
    """Programs that ended with an error; they count as wrong."""
    latency: float
    """Seconds for all items."""
    prompt_tokens: int
    completion_tokens: int
    cached_share: float | None
    """Prompt tokens that came from a prefix cache; None if the backend does not say."""


class Counting(Backend):
    """Another backend, with the tokens of its answers added up."""

    def __init__(self, backend: Backend) -> None:
        self.chat_template = backend.chat_template
        self.writes_whole_turns = backend.writes_whole_turns
        self.tokens = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens"), 0)
        self.tells_cached = False
        self._backend = backend
        self._lock = threading.Lock()

    def generate(self, prompt: Prompt, params: SamplingParams) -> list[Generation]:
        answers = self._backend.generate(prompt, params)
        for answer in answers:
            self._count(answer.meta_info)
        return answers

    def stream(self, prompt: Prompt, params: SamplingParams) -> Iterator[Generation]:
        pieces = self._backend.stream(prompt, params)
        return Stream(self._counted(pieces), getattr(pieces, "cancel", lambda: None))

    def select(
        self, prompt: Prompt, choices: Sequence[str], method: ChoicesMethod
    ) -> tuple[int, dict[str, Any]]:
        index, meta_info = self._backend.select(prompt, choices, method)
        self._count(meta_info)
        return index, meta_info

    def cache_prefix(self, prompt: Prompt) -> None:
        self._backend.cache_prefix(prompt)

    def flush_cache(self) -> None:
        self._backend.flush_cache()

    def _counted(self, pieces: Iterator[Generation]) -> Iterator[Generation]:
        last = Generation("")
        for last in pieces:
            yield last
        self._count(last.meta_info)

    def _count(self, meta_info: dict[str, Any]) -> None:
        with self._lock:
            self.tells_cached |= "cached_tokens" in meta_info
            for name in self.tokens:
                self.tokens[name] += meta_info.get(name) or 0


def run(
    task: str,
    program: Function,
    items: Sequence[Line],
    is_right: Callable[[ProgramState, int], bool] | None,
    args: argparse.Namespace,
) -> Report:
    """Run the program on all items, print the report and add it to the result file.

    Args:
        items: The arguments of the program; ``is_chat`` is added if it takes one.
        is_right: Whether the state of the item of that index has the right answer.
    """
    backend = Counting(BACKENDS[args.backend](args))
    if "is_chat" in program.arg_names:
        program = program.bind(is_chat=backend.chat_template is MESSAGES)
    begin = time.perf_counter()
    states = program.run_batch(
        items, backend=backend, temperature=0, num_threads=args.parallel, progress_bar=True
    )
    latency = time.perf_counter() - begin
    failed = [state.error() for state in states if state.error() is not None]
    right = None
    if is_right is not None:
        right = sum(s.error() is None and is_right(s, i) for i, s in enumerate(states))
    tokens = backend.tokens
    report = Report(
        task=task,
        backend=args.backend,
        num_requests=len(items),
        accuracy=None if right is None or not items else right / len(items),
        num_failed=len(failed),
        latency=round(latency, 3),
        prompt_tokens=tokens["prompt_tokens"],
        completion_tokens=tokens["completion_tokens"],
        cached_share=(
            round(tokens["cached_tokens"] / max(tokens["prompt_tokens"], 1), 4)
            if backend.tells_cached
            else None
        ),
    )
    show(report, failed)
    with args.result_file.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(report)) + "\n")
    return report


def show(report: Report, failed: Sequence[Exception | None]) -> None:
    """Print a report."""
    if report.accuracy is not None:
        print(f"Accuracy: {report.accuracy:.3f}")
    if failed:
        print(
            f"Failed: {report.num_failed}, the first with {type(failed[0]).__name__}: {failed[0]}"
        )
    print(f"Latency: {report.latency:.3f} s")
    print(f"Output throughput: {report.completion_tokens / max(report.latency, 1e-9):.3f} token/s")
    if report.cached_share is not None:
        print(f"Cached: {report.cached_share:.1%} of {report.prompt_tokens} prompt tokens")
