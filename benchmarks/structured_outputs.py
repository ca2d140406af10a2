"""What structured outputs cost: compiling and masks by backend, and throughput beside free text.

    python benchmarks/structured_outputs.py backends --tokenizer DIR
    python benchmarks/structured_outputs.py throughput --model-path DIR --batch 32

Times are CPU times of one thread. The texts that the masks are computed along are fixed, so that
all backends do the same. Throughput is that of decoding after the first step; the grammar there
allows as many tokens as are asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from sglang.srt.constrained.backends import PACKAGES, BackendConfig, WithFallback, make_backend
from sglang.srt.constrained.grammar import GrammarError, GrammarSpec
from sglang.srt.tokenizer.loading import load_tokenizer
from sglang.srt.tokenizer.tokenizer import Tokenizer

T = TypeVar("T")

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "city": {"type": "string", "enum": ["Paris", "London", "Tokyo", "Nairobi"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
WORDS = {"type": "array", "items": {"type": "string"}, "minItems": 1000}
SHORT_WORDS = {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 1000}
CHARACTER = (
    r'\{\n    "name": "[\w\d\s]{1,16}",\n    "house": "(Gryffindor|Slytherin|Ravenclaw)",\n'
    r'    "alive": (true|false),\n    "age": [0-9]{1,3}\n\}'
)
SUMS = 'root ::= term (("+" | "-") term)*\nterm ::= [0-9]+ | "(" root ")"'

CASES: dict[str, tuple[GrammarSpec, str]] = {
    "object of three properties": (
        GrammarSpec("json_schema", json.dumps(PERSON)),
        '{"name": "Al Bundy Jr.", "age": 42, "city": "Nairobi"}',
    ),
    "any object": (
        GrammarSpec("json_schema", '{"type": "object"}'),
        '{"name": "Al Bundy Jr.", "list": [1, 2.5, null], "more": {"x": "some longer text"}}',
    ),
    "character (regex)": (
        GrammarSpec("regex", CHARACTER),
        '{\n    "name": "Harry Potter",\n    "house": "Gryffindor",\n    "alive": true,\n'
        '    "age": 17\n}',
    ),
    "sums (EBNF)": (GrammarSpec("ebnf", SUMS), "12+(3-456)+(7-(8+9))"),
}


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """CPU milliseconds of this thread, and the result."""
    start = time.thread_time()
    result = work()
    return (time.thread_time() - start) * 1e3, result


def measure_backends(path: str) -> None:
    tokenizer = load_tokenizer(path)
    size = max(tokenizer.get_vocab().values()) + 1
    eos = tokenizer.eos_token_id
    eos_ids = (0 if eos is None else eos,)
    print(f"{size} tokens; CPU milliseconds\n")
    print("| grammar | backend | compile | mask, mean | mask, longest |\n|---|---|---|---|---|")
    for name in PACKAGES:
        config = BackendConfig(name, path, "auto", False, size, eos_ids, None)
        try:
            backend = make_backend(config)
        except ImportError:
            continue
        if isinstance(backend, WithFallback):
            backend = backend.first
        backend.prepare(GrammarSpec("regex", "warm up"))
        for case, (spec, text) in CASES.items():
            row = _measure(backend, tokenizer, size, spec, text)
            print(f"| {case} | {name} | {row} |", flush=True)


def _measure(backend: Any, tokenizer: Tokenizer, size: int, spec: GrammarSpec, text: str) -> str:
    try:
        compiling, prepared = timed(lambda: backend.prepare(spec))
        loading, grammar = timed(lambda: backend.load(prepared))
    except GrammarError as error:
        return f"left to llguidance: {str(error)[:40]} | |"
    row = np.zeros((size + 31) // 32, dtype=np.int32)
    masks: list[float] = []
    for _ in range(3):  # requests that share the grammar
        state = grammar.start()
        for token in tokenizer.encode(text, add_special_tokens=False):
            masks.append(timed(partial(state.fill_mask, row))[0])
            assert state.accept(token), tokenizer.decode([token])
    return f"{compiling + loading:.1f} | {statistics.mean(masks):.3f} | {max(masks):.2f}"


def measure_throughput(path: str, batch: int, tokens: int, repeats: int) -> None:
    from sglang.srt.managers.engine_setup import build_engine
    from sglang.srt.server_args import ServerArgs

    args = ServerArgs(model_path=path, disable_radix_cache=True, disable_jump_forward=True)
    engine = build_engine(args, path)
    cases: dict[str, dict[str, Any]] = {
        "free text": {},
        "JSON strings": {"json_schema": json.dumps(WORDS)},
        "JSON strings of at most 12 characters": {"json_schema": json.dumps(SHORT_WORDS)},
    }
    speeds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(repeats):
        for case, grammar in cases.items():
            speeds[case].append(_decode_speed(engine, batch, tokens, grammar))
    free = max(speeds["free text"])
    for case, found in speeds.items():
        speed = max(found)
        print(f"{case}: {speed:.0f} tokens/s, {speed / free:.1%} of free text")
    if engine.grammars is not None:
        engine.grammars.close()


def _decode_speed(engine: Any, batch: int, tokens: int, grammar: dict[str, Any]) -> float:
    from sglang.srt.managers.io_struct import TokenizedRequest
    from sglang.srt.sampling.sampling_params import SamplingParams

    scheduler = engine.scheduler
    random = np.random.default_rng(0)
    for i in range(batch):
        params = SamplingParams(max_new_tokens=tokens, temperature=0.0, ignore_eos=True, **grammar)
        prompt = random.integers(300, 4000, 32).astype("<i4").tobytes()
        scheduler.receive(TokenizedRequest(f"{i}", prompt, params))
    while scheduler.is_idle:  # the grammar is being compiled
        time.sleep(0.001)
    scheduler.step()
    produced, start = 0, time.perf_counter()
    while not scheduler.is_idle:
        produced += sum(len(output.token_ids) for output in scheduler.step())
    return produced / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    backends = parts.add_parser("backends")
    backends.add_argument("--tokenizer", required=True)
    throughput = parts.add_parser("throughput")
    throughput.add_argument("--model-path", required=True)
    throughput.add_argument("--batch", type=int, default=32)
    throughput.add_argument("--tokens", type=int, default=48)
    throughput.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.part == "backends":
        measure_backends(args.tokenizer)
    else:
        measure_throughput(args.model_path, args.batch, args.tokens, args.repeats)


if __name__ == "__main__":
    main()
