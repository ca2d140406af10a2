"""Turns the endless stream of samples into training batches of a fixed geometry.

A batch holds a fixed number of rows of each length class, in the proportion in which the classes
come up in the corpus: every optimizer step sees the whole mixture, almost nothing is padding, and
the shapes never change, so the network can be compiled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .corpus import samples
from .model import Group
from .rendering import segments

EDGES = (32, 48, 64, 80, 96, 112, 144, 192, 256, 336, 640)
CHUNK = 500
PROBE = 20000
MOST_WAITING = 400
"""Rows of one class that may wait; the classes come up in a proportion that wanders a little."""
LEARNED_STEP = 512
"""The number of learned positions is filled up to a multiple of this, see ``DemoLlama.loss``."""

Row = tuple[list[int], list[bool]]
"""Token ids, and which of them are learned."""


@dataclass(frozen=True)
class Batch:
    """A flat batch: the learned ``positions``, the token that follows each, and its weight."""

    tokens: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor


def rows(tokenizer: Tokenizer, seed: int, phase: int = 0) -> Iterator[Row]:
    """Tokenized samples without end; every chunk has a seed of its own."""
    chunk = seed * 1_000_003 + phase * 500_000
    while True:
        pieces = [segments(sample) for sample in samples(chunk, CHUNK, phase)]
        texts = [text for sample in pieces for text, _ in sample]
        encoded = iter(tokenizer.encode_batch(texts, add_special_tokens=False))
        for sample in pieces:
            ids: list[int] = []
            learned: list[bool] = []
            for _, wanted in sample:
                piece = next(encoded).ids
                ids += piece
                learned += [wanted] * len(piece)
            if len(ids) <= EDGES[-1]:
                yield ids, learned
        chunk += 1


def geometry(tokenizer: Tokenizer, seed: int, tokens_per_batch: int) -> list[Group]:
    """How many rows of which length a batch holds, measured on the beginning of the stream."""
    counts = dict.fromkeys(EDGES, 0)
    stream = rows(tokenizer, seed)
    for _ in range(PROBE):
        counts[_edge(len(next(stream)[0]), EDGES)] += 1
    total = sum(length * count for length, count in counts.items())
    groups: list[Group] = []
    waiting = 0.0
    for length in EDGES:
        waiting += counts[length] * tokens_per_batch / total
        number = round(waiting)
        if length == EDGES[-1]:  # the longest must not fall out: positions up to there are learned
            number = max(number, 1)
        if number > 0:
            groups.append((number, length))
            waiting -= number
    return groups


def _edge(length: int, edges: tuple[int, ...] | list[int]) -> int:
    return next(edge for edge in edges if length <= edge)


def batches(
    tokenizer: Tokenizer, seed: int, phase: int, groups: list[Group], skip: int
) -> Iterator[Batch]:
    """Batches of a phase without end, beginning after the first ``skip`` of them."""
    edges = [length for _, length in groups]
    queues: dict[int, deque[Row]] = {length: deque(maxlen=MOST_WAITING) for length in edges}
    stream = rows(tokenizer, seed, phase)
    number = 0
    while True:
        while any(len(queues[length]) < count for count, length in groups):
            row = next(stream)
            if len(row[0]) <= edges[-1]:
                queues[_edge(len(row[0]), edges)].append(row)
        taken = [
            (length, queues[length].popleft()) for count, length in groups for _ in range(count)
        ]
        number += 1
        if number > skip:
            yield _assemble(taken)


def _assemble(taken: list[tuple[int, Row]]) -> Batch:
    tokens: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for length, (ids, learned) in taken:
        start = len(tokens)
        tokens += ids + [0] * (length - len(ids))
        for i in range(1, len(ids)):
            if learned[i]:
                positions.append(start + i - 1)
                targets.append(ids[i])
    fill = -len(positions) % LEARNED_STEP
    weights = [1.0] * len(positions) + [0.0] * fill
    return Batch(
        torch.tensor(tokens),
        torch.tensor(positions + [0] * fill),
        torch.tensor(targets + [0] * fill),
        torch.tensor(weights),
    )
