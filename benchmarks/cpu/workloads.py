"""The six workloads of the comparison. Greedy, streaming, and every repeat has fresh prompts.

W1  one client, 32 tokens in, 128 out: decode
W2  one client, 2048 in, 1 out: prefill
W3  64 requests at once, 128 in, 64 out: throughput
W4  64 requests at once with the same 1024 tokens before 32 of their own, 16 out: shared prefix
W5  8 conversations of 4 turns; each turn sends all so far and 128 new tokens, 32 out: multi-turn
W6  16 chats at once whose answers must fit a JSON schema, at most 64 out: structured output
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sglang.bench.answers import Answer
from sglang.bench.backends import RequestSettings
from sglang.bench.client import Client
from sglang.bench.prompts import Prompt
from sglang.srt.tokenizer.tokenizer import Tokenizer

Figures = dict[str, Any]
FIRST_ID = 300
"""Smaller ids are special tokens and single bytes."""

CITIES = ["Paris", "London", "Tokyo", "Nairobi"]
MAX_NAME, MAX_AGE = 20, 150
PERSON_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": MAX_NAME},
        "age": {"type": "integer", "minimum": 0, "maximum": MAX_AGE},
        "city": {"type": "string", "enum": CITIES},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Target:
    """A server, as the workloads see it."""

    completion: Client
    chat: Client
    settings: RequestSettings
    tokenizer: Tokenizer
    as_text: bool = False
    """Send texts: the server takes no token ids."""

    async def complete(self, ids: Sequence[int], output_len: int) -> Answer:
        content = self.tokenizer.decode(ids) if self.as_text else list(ids)
        return await self.completion.send(Prompt(content, len(ids), output_len), self.settings)

    async def person(self, number: int) -> Answer:
        """An answer that must fit PERSON_SCHEMA."""
        form = {"name": "person", "schema": PERSON_SCHEMA, "strict": True}
        extra = {"response_format": {"type": "json_schema", "json_schema": form}}
        content = f"Describe person number {number} as JSON."
        settings = replace(self.settings, extra=extra)
        return await self.chat.send(Prompt(content, 0, 64), settings)

    def answered_ids(self, answer: Answer) -> list[int]:
        """The tokens of an answer, by its text where the server does not tell them."""
        if answer.token_ids or not answer.text:
            return answer.token_ids
        return self.tokenizer.encode(answer.text, add_special_tokens=False)


class Draw:
    """Random prompts for one repeat, and the sizes of a run that is smaller than usual."""

    def __init__(self, pool: Sequence[int], seed: str, scale: float = 1.0) -> None:
        self._rng = random.Random(seed)
        self._pool = pool
        self._scale = scale

    def ids(self, length: int) -> list[int]:
        return self._rng.choices(self._pool, k=length)

    def number(self) -> int:
        return self._rng.randrange(1_000_000)

    def scaled(self, usual: int, least: int) -> int:
        return max(least, int(usual * self._scale))


def id_pool(tokenizer: Tokenizer, *, as_text: bool) -> Sequence[int]:
    """Ids to draw from: for text only those of plain words, which survive the way through it."""
    ids = range(min(FIRST_ID, len(tokenizer) // 2), len(tokenizer))
    if not as_text:
        return ids
    words = {i: tokenizer.decode([i]) for i in ids}
    plain = [i for i, w in words.items() if w[:1] == " " and w[1:].isascii() and w[1:].isalpha()]
    encoded = tokenizer.encode_batch([words[i] for i in plain], add_special_tokens=False)
    return [i for i, back in zip(plain, encoded, strict=True) if back == [i]]


async def together(work: Sequence[Awaitable[Answer]]) -> Figures:
    """Run all at once."""
    start = time.perf_counter()
    answers = await asyncio.gather(*work)
    return figures(answers, start)


def figures(answers: Sequence[Answer], start: float) -> Figures:
    """What a set of requests sent from ``start`` on took."""
    seconds = max(answer.end for answer in answers) - start
    good = [answer for answer in answers if not answer.error]
    out_tokens = sum(answer.output_len for answer in good)
    in_tokens = sum(answer.prompt_tokens or 0 for answer in good)
    found: Figures = {
        "requests": len(answers),
        "errors": len(answers) - len(good),
        "total_s": seconds,
        "out_tokens": out_tokens,
        "in_tokens": in_tokens,
        "out_tps": out_tokens / seconds,
        "total_tps": (in_tokens + out_tokens) / seconds,
        "req_s": len(good) / seconds,
    }
    ttfts = [answer.ttft * 1e3 for answer in good if answer.ttft is not None]
    tpots = [answer.tpot * 1e3 for answer in good if answer.tpot is not None]
    if ttfts:
        found["ttft_p50_ms"] = float(np.percentile(ttfts, 50))
        found["ttft_p99_ms"] = float(np.percentile(ttfts, 99))
    if tpots:
        found["tpot_ms"] = float(np.median(tpots))
    if found["errors"]:
        found["first_error"] = next(answer.error for answer in answers if answer.error)
    return found


async def decode(target: Target, draw: Draw) -> Figures:
    found = await together([target.complete(draw.ids(32), draw.scaled(128, 8))])
    if found.get("tpot_ms"):  # 0: everything came at once
        found["decode_tps"] = 1e3 / found["tpot_ms"]
    return found


async def prefill(target: Target, draw: Draw) -> Figures:
    length = draw.scaled(2048, 64)
    found = await together([target.complete(draw.ids(length), 1)])
    if "ttft_p50_ms" in found:
        found["prefill_tps"] = (found["in_tokens"] or length) / found["ttft_p50_ms"] * 1e3
    return found


async def burst(target: Target, draw: Draw) -> Figures:
    prompts = [draw.ids(128) for _ in range(draw.scaled(64, 2))]
    return await together([target.complete(ids, 64) for ids in prompts])


async def shared_prefix(target: Target, draw: Draw) -> Figures:
    prefix = draw.ids(1024)
    prompts = [prefix + draw.ids(32) for _ in range(draw.scaled(64, 2))]
    return await together([target.complete(ids, 16) for ids in prompts])


async def multi_turn(target: Target, draw: Draw) -> Figures:
    talks = [[draw.ids(128) for _ in range(4)] for _ in range(draw.scaled(8, 1))]
    answers: list[Answer] = []

    async def talk(turns: Sequence[list[int]]) -> None:
        history: list[int] = []
        for turn in turns:
            history = history + turn
            answer = await target.complete(history, 32)
            answers.append(answer)
            if answer.error:
                return
            history = history + target.answered_ids(answer)

    start = time.perf_counter()
    await asyncio.gather(*[talk(turns) for turns in talks])
    return figures(answers, start)


async def structured(target: Target, draw: Draw) -> Figures:
    first, count = draw.number(), draw.scaled(16, 2)
    start = time.perf_counter()
    answers = await asyncio.gather(*[target.person(first + i) for i in range(count)])
    valid = sum(is_person(answer.text) for answer in answers if not answer.error)
    return {**figures(answers, start), "valid": valid / count}


def is_person(text: str) -> bool:
    """Whether ``text`` is JSON that fits PERSON_SCHEMA."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    if not isinstance(value, dict) or set(value) != {"name", "age", "city"}:
        return False
    name, age, city = value["name"], value["age"], value["city"]
    return (
        isinstance(name, str)
        and len(name) <= MAX_NAME
        and type(age) is int
        and 0 <= age <= MAX_AGE
        and city in CITIES
    )


@dataclass(frozen=True)
class Workload:
    """One row of the table."""

    title: str
    run: Callable[[Target, Draw], Awaitable[Figures]]
    figure: str
    """The figure that is compared."""
    larger_is_better: bool
    unit: str
    repeats: int = 1
    """How many runs count as one repeat: those of a single request are short."""


WORKLOADS: dict[str, Workload] = {
    "W1": Workload("W1 decode", decode, "decode_tps", True, "tok/s", repeats=3),
    "W2": Workload("W2 prefill", prefill, "prefill_tps", True, "tok/s", repeats=3),
    "W3": Workload("W3 throughput", burst, "out_tps", True, "out tok/s"),
    "W4": Workload("W4 shared prefix", shared_prefix, "total_s", False, "s"),
    "W5": Workload("W5 multi-turn", multi_turn, "total_s", False, "s"),
    "W6": Workload("W6 JSON", structured, "total_s", False, "s"),
}
