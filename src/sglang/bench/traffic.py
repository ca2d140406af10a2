"""When requests are sent: all at once, at random times, or a few at a time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from sglang.bench.answers import Answer
from sglang.bench.prompts import Prompt

Send = Callable[[Prompt], Awaitable[Answer]]


async def send_all(
    prompts: Sequence[Prompt],
    send: Send,
    *,
    request_rate: float = math.inf,
    max_concurrency: int | None = None,
    seed: int = 0,
    on_answer: Callable[[Answer], object] = lambda answer: None,
) -> list[Answer]:
    """The answers to ``prompts``, in their order.

    Requests arrive as a Poisson process of ``request_rate`` a second (``inf``: all at once); no
    more than ``max_concurrency`` are under way at a time, the others wait and their clocks do not
    run yet.
    """
    gate = asyncio.Semaphore(max_concurrency or len(prompts) or 1)

    async def one(prompt: Prompt) -> Answer:
        async with gate:
            answer = await send(prompt)
        on_answer(answer)
        return answer

    tasks = []
    began = time.perf_counter()
    for prompt, due in zip(prompts, arrival_times(len(prompts), request_rate, seed), strict=True):
        delay = began + due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(one(prompt)))
    return list(await asyncio.gather(*tasks))


def arrival_times(count: int, request_rate: float, seed: int) -> list[float]:
    """Seconds after the start at which ``count`` requests arrive; the first at 0."""
    if math.isinf(request_rate):
        return [0.0] * count
    rng = random.Random(seed)
    times, now = [], 0.0
    for _ in range(count):
        times.append(now)
        now += rng.expovariate(request_rate)
    return times
