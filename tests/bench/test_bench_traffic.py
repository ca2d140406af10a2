"""When requests are sent."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest

from sglang.bench.answers import Answer
from sglang.bench.prompts import Prompt
from sglang.bench.traffic import arrival_times, send_all

PROMPTS = [Prompt(str(i), 1, 1) for i in range(12)]


class Counting:
    """Answers after some turns of the loop and knows how many were under way."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def send(self, prompt: Prompt) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(3):
            await asyncio.sleep(0)
        self.now -= 1
        return Answer(text=str(prompt.content))


async def test_answers_keep_the_order_of_the_prompts() -> None:
    answers = await send_all(PROMPTS, Counting().send)
    assert [answer.text for answer in answers] == [str(i) for i in range(12)]


@pytest.mark.parametrize(("limit", "most"), [(None, 12), (3, 3), (50, 12)])
async def test_concurrency_is_limited(limit: int | None, most: int) -> None:
    server = Counting()
    await send_all(PROMPTS, server.send, max_concurrency=limit)
    assert server.most == most


async def test_every_answer_is_announced() -> None:
    seen: list[Answer] = []
    await send_all(PROMPTS, Counting().send, on_answer=seen.append)
    assert len(seen) == 12


def test_an_infinite_rate_sends_all_at_once() -> None:
    assert arrival_times(3, math.inf, seed=1) == [0.0, 0.0, 0.0]


def test_gaps_of_a_finite_rate_are_exponential() -> None:
    times = arrival_times(20_001, 50.0, seed=1)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert times[0] == 0.0
    assert mean == pytest.approx(1 / 50, rel=0.05)
    assert math.sqrt(variance) == pytest.approx(mean, rel=0.05)


def test_arrivals_follow_from_the_seed() -> None:
    assert arrival_times(5, 2.0, seed=1) == arrival_times(5, 2.0, seed=1)
    assert arrival_times(5, 2.0, seed=1) != arrival_times(5, 2.0, seed=2)
