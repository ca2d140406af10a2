"""Operations noted while a model ran once, and replayed from C with one call.

A forward pass of a small model is some hundred operations of a few microseconds each; calling them
from Python takes longer than that. As with a CUDA graph, all addresses are those of the time of
recording, so inputs are written into the same tensors before each replay. Unlike one, a recording
serves any number of tokens up to the recorded one, for these numbers are filled in at each replay.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

import torch


class NotRecordable(RuntimeError):
    """The model needs something that cannot be replayed from C."""


class Counts(NamedTuple):
    """The numbers of rows that differ from step to step."""

    tokens: int
    logits_rows: int
    sequences: int


class Operation:
    """A function of the library that takes the address of a struct of ``layout``.

    Field ``counts_rows_at`` of the struct says how many rows there are.
    """

    def __init__(self, function: Any, layout: Struct, *, counts_rows_at: int) -> None:
        function.argtypes = [ctypes.c_char_p]
        function.restype = ctypes.c_int
        self.function: Callable[[bytes], int] = function
        self.layout = layout
        self.address = ctypes.cast(function, ctypes.c_void_p).value or 0
        self.counts_rows_at = counts_rows_at


class Tape:
    """What is noted while a model is recorded."""

    def __init__(
        self, counts: Counts, allocate: Callable[[tuple[int, ...], torch.dtype], torch.Tensor]
    ) -> None:
        if len(set(counts)) < len(counts):
            raise ValueError(f"the counts must differ to be told apart, got {counts}")
        self.counts = counts
        self.calls: list[tuple[Operation, bytes]] = []
        self.work = 0
        """Multiply-adds per row, in all products with weights."""
        self._allocate = allocate
        self._results: dict[tuple[Any, ...], list[torch.Tensor]] = {}
        self._uses: dict[tuple[Any, ...], int] = {}

    def note(self, operation: Operation, argument: bytes) -> None:
        self.calls.append((operation, argument))

    def new(self, purpose: str, rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
        """Room for a result [rows, columns].

        Results of one kind and shape take turns in two tensors: that one is no longer read when
        the second next of its kind is written, as in any chain of layers. Whoever records
        compares a replay with a plain run to be sure.
        """
        key = (purpose, rows, columns, dtype)
        tensors = self._results.setdefault(key, [])
        use = self._uses[key] = self._uses.get(key, -1) + 1
        if len(tensors) < 2:
            tensors.append(self._allocate((rows, columns), dtype))
        return tensors[use % 2]

    def tensors(self) -> list[torch.Tensor]:
        return [tensor for both in self._results.values() for tensor in both]


class Recording:
    """A forward pass that can be repeated with other inputs in the same places."""

    STEP = Struct("@2P2q")
    FIXED = -1

    def __init__(self, replay: Any, tape: Tape, result: torch.Tensor) -> None:
        replay.argtypes = [ctypes.c_void_p]
        replay.restype = ctypes.c_int
        self._replay: Callable[[int], int] = replay
        self.counts = tape.counts
        self._result = result
        self._tensors = tape.tensors()  # kept alive, since only their addresses are noted
        self._arguments = [ctypes.create_string_buffer(data, len(data)) for _, data in tape.calls]
        steps = b"".join(
            self._step(tape.counts, operation, buffer)
            for (operation, _), buffer in zip(tape.calls, self._arguments, strict=True)
        )
        self._steps = ctypes.create_string_buffer(steps, len(steps))
        length = len(tape.calls)
        header = Struct("@P5q").pack(ctypes.addressof(self._steps), length, 0, 0, 0, tape.work)
        self._header = ctypes.create_string_buffer(header, len(header))
        self._set_counts = Struct("@3q").pack_into

    @classmethod
    def _step(cls, counts: Counts, operation: Operation, buffer: ctypes.Array[Any]) -> bytes:
        offset = operation.counts_rows_at * 8
        (rows,) = Struct("@q").unpack_from(buffer, offset)
        kind = counts.index(rows) if rows in counts else cls.FIXED
        return cls.STEP.pack(operation.address, ctypes.addressof(buffer), offset, kind)

    def run(self, counts: Counts) -> torch.Tensor:
        """Do it all again; returns the first ``logits_rows`` rows, valid until the next run.

        Raises RuntimeError if an operation has no memory for its scratch space, or is given an
        index outside of its table.
        """
        self._set_counts(self._header, 16, *counts)
        if failed := self._replay(ctypes.addressof(self._header)):
            raise RuntimeError(
                f"operation {failed} of a step of {counts.tokens} tokens failed: "
                "out of memory, or an index out of range"
            )
        return self._result[: counts.logits_rows]
