"""In which order waiting requests are admitted, and how much room is kept for the running ones.

Pure functions and plain state: nothing here knows of tensors, sockets or clocks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from sglang.srt.managers.request import Request
from sglang.srt.mem_cache.radix_cache import Node, RadixCache

SchedulePolicy = Literal["lpm", "random", "fcfs", "dfs-weight"]
POLICIES: tuple[str, ...] = get_args(SchedulePolicy)

LONG_QUEUE = 128
"""Beyond this many waiting requests, cache-aware policies fall back to arrival order."""

STARVATION_STEPS = 512
"""A request that waited this many steps goes before all younger ones of its priority."""

DUPLICATE_PREFIX = 32
"""Requests that would compute this many tokens another one is computing wait for it."""


class AdmissionOrder:
    """Sorts the waiting queue by one policy. Higher priority always comes first."""

    def __init__(self, policy: SchedulePolicy, cache: RadixCache, seed: int) -> None:
        self.policy = policy
        self._cache = cache
        self._random = random.Random(seed)

    def sort(self, waiting: Sequence[Request], step: int) -> list[Request]:
        """The queue in the order in which admission should be tried."""
        if self.policy == "random":
            shuffled = list(waiting)
            self._random.shuffle(shuffled)
            return sorted(shuffled, key=lambda r: self._class(r, step))
        if self.policy == "fcfs" or len(waiting) > LONG_QUEUE or not self._cache.enabled:
            return sorted(waiting, key=lambda r: (self._class(r, step), r.arrival))
        for request in waiting:
            update_match(request, self._cache)
        if self.policy == "lpm":
            return sorted(waiting, key=lambda r: (self._class(r, step), -r.match_len, r.arrival))
        weights = self._subtree_ranks(waiting)
        return sorted(waiting, key=lambda r: (self._class(r, step), weights[id(r)], r.arrival))

    @staticmethod
    def _class(request: Request, step: int) -> tuple[int, bool]:
        return -request.priority, step - request.arrival_step < STARVATION_STEPS

    def _subtree_ranks(self, waiting: Sequence[Request]) -> dict[int, int]:
        """Rank of each request in a depth-first walk, heaviest subtree first.

        The weight of a node is the number of waiting requests that match into its subtree.
        """
        at_node: dict[Node, list[Request]] = {}
        weight: dict[Node, int] = {}
        roots: set[Node] = set()
        for request in waiting:
            node = self._cache.match(request.known()[: request.max_cached], request.namespace).node
            at_node.setdefault(node, []).append(request)
            while node.parent is not None:
                weight[node] = weight.get(node, 0) + 1
                node = node.parent
            weight[node] = weight.get(node, 0) + 1
            roots.add(node)
        ranks: dict[int, int] = {}
        stack = sorted(roots, key=lambda n: weight[n])
        while stack:
            node = stack.pop()
            children = [c for c in node.children.values() if c in weight]
            stack.extend(sorted(children, key=lambda n: weight[n]))
            for request in at_node.get(node, ()):
                ranks[id(request)] = len(ranks)
        return ranks


def update_match(request: Request, cache: RadixCache) -> None:
    """Bring ``request.match_len`` up to date with the tree."""
    if request.match_version != cache.version:
        found = cache.match(request.known()[: request.max_cached], request.namespace)
        request.match_len = len(found.slots)
        request.match_version = cache.version


def computes_same_prefix(candidate: Request, running: Request) -> bool:
    """Whether ``running`` is about to compute what ``candidate`` would compute next.

    Then the candidate waits a step or two and finds it in the cache.
    """
    start = candidate.match_len
    end = start + DUPLICATE_PREFIX
    return (
        running.remaining > 1
        and end <= min(running.num_tokens, candidate.max_cached)
        and candidate.namespace == running.namespace
        and np.array_equal(candidate.tokens[start:end], running.tokens[start:end])
        and np.array_equal(candidate.tokens[:start], running.tokens[:start])
    )


class NewTokenRatio:
    """Which share of the tokens that running requests may still generate is kept free for them.

    Most requests end before their limit, so the share starts below one and decays while all
    goes well. When the pool runs dry nevertheless, it is raised to what was really used.
    """

    DECAY_STEPS = 600
    MAX_RESERVE = 4096
    """Nobody reserves more than this many tokens for one request."""

    def __init__(self, conservativeness: float) -> None:
        self._start = min(0.7 * conservativeness, 1.0)
        self._floor = min(0.14 * self._start, 1.0)
        self.value = self._start

    def decay(self) -> None:
        self.value = max(self._floor, self.value - (self._start - self._floor) / self.DECAY_STEPS)

    def reset(self) -> None:
        self.value = self._start

    def raise_after_retraction(self, running: Sequence[Request]) -> None:
        """Estimate anew from the requests that stay."""
        generated = sum(len(r.output_ids) for r in running)
        allowed = sum(r.max_new_tokens for r in running)
        self.value = min(1.0, (generated + 20 * len(running)) / (allowed + 1))

    def reserve(self, request: Request) -> int:
        """Tokens to keep free for the rest of a request's output."""
        left = min(request.max_new_tokens - len(request.output_ids), self.MAX_RESERVE)
        return int(left * self.value)
