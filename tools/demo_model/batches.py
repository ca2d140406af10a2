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

EDGES = (32, 40, 48, 64, 80, 112, 192, 256, 384, 640)
CHUNK = 4000
PROBE = 20000

Row = tuple[list[int], list[bool]]
"""Token ids, and which of them are learned."""


@dataclass(frozen=True)
class Batch:
    """A flat batch; ``weights`` says at which positions the next token is learned."""

    tokens: Tensor
    targets: Tensor
    weights: Tensor


def rows(tokenizer: Tokenizer, seed: int, phase: int) -> Iterator[Row]:
    """Tokenized samples without end; every chunk has a seed of its own."""
    first = seed * 1_000_003 + phase * 500_000
    chunk = 0
    while True:
        pieces = [segments(sample) for sample in samples(first + chunk, CHUNK, phase)]
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


def geometry(tokenizer: Tokenizer, seed: int, phase: int, tokens_per_batch: int) -> list[Group]:
    """How many rows of which length a batch holds, measured on the beginning of the stream."""
    counts = dict.fromkeys(EDGES, 0)
    stream = rows(tokenizer, seed, phase)
    for _ in range(PROBE):
        counts[_edge(len(next(stream)[0]), EDGES)] += 1
    total = sum(length * count for length, count in counts.items())
    groups: list[Group] = []
    waiting = 0.0
    for length in EDGES:
        waiting += counts[length] * tokens_per_batch / total
        if (number := round(waiting)) > 0:
            groups.append((number, length))
            waiting -= number
    if groups[-1][1] != EDGES[-1]:
        groups.append((1, EDGES[-1]))
    return groups


def _edge(length: int, edges: tuple[int, ...] | list[int]) -> int:
    return next(edge for edge in edges if length <= edge)


def batches(
    tokenizer: Tokenizer, seed: int, phase: int, groups: list[Group], skip: int
) -> Iterator[Batch]:
    """Batches without end, beginning after the first ``skip`` of them."""
    edges = [length for _, length in groups]
    queues: dict[int, deque[Row]] = {length: deque() for length in edges}
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
    targets: list[int] = []
    weights: list[float] = []
    for length, (ids, learned) in taken:
        pad = length - len(ids)
        tokens += ids + [0] * pad
        targets += ids[1:] + [0] * (pad + 1)
        weights += [float(flag) for flag in learned[1:]] + [0.0] * (pad + 1)
    return Batch(torch.tensor(tokens), torch.tensor(targets), torch.tensor(weights))
