"""Decode steps as CUDA graphs: the whole forward pass starts with one call.

A graph has fixed shapes and addresses. There is one for each of some batch sizes; a batch takes
the smallest that holds it, and sequences that nobody asked for fill it up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sglang.srt.device import Device, Graph
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.device_slots import DeviceSlots
from sglang.srt.model_executor.forward_batch import AttentionMeta, ForwardBatch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.interface import Transformer

logger = logging.getLogger(__name__)

DEFAULT_MAX_BATCH = 256
_STEP = 8
"""Between two sizes from 8 on: as many rows as a tensor core's tile has."""


def graph_sizes(
    asked: Sequence[int] | None, max_batch: int | None, max_running: int, *, padded: bool
) -> list[int]:
    """The batch sizes to capture, ascending, by ``--cuda-graph-bs`` and ``--cuda-graph-max-bs``.

    No more than ``max_running``, which no batch exceeds. Not ``padded``: small sizes one by one.
    """
    if asked is not None:
        return sorted({min(size, max_running) for size in asked})
    most = min(max_batch or DEFAULT_MAX_BATCH, max_running)
    small = (1, 2, 4) if padded else range(1, 33)
    return sorted({*(size for size in small if size < most), *range(_STEP, most, _STEP), most})


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What changes from step to step, of the largest batch: views of one piece of memory."""

    memory: torch.Tensor
    """[bytes] uint8."""
    input_ids: torch.Tensor
    """[N] int64, and so ``kv_start``; the others [N] int32."""
    kv_start: torch.Tensor
    positions: torch.Tensor
    out_slots: torch.Tensor
    kv_len: torch.Tensor

    @classmethod
    def over(cls, memory: torch.Tensor) -> _Inputs:
        """``memory`` has 28 bytes for each sequence."""
        n = len(memory) // 28
        wide = memory[: 16 * n].view(torch.int64).split(n)
        return cls(memory, *wide, *memory[16 * n :].view(torch.int32).split(n))


class GraphedForward:
    """The decode steps of a model, captured for batches of each of ``sizes`` (ascending).

    Not ``padded``: only batches of exactly these sizes are served. Serves as a
    ``forward_pass.Replay``.
    """

    def __init__(
        self,
        model: Transformer,
        kv_pool: KVPool,
        slots: DeviceSlots,
        device: Device,
        sizes: Sequence[int],
        *,
        padded: bool,
    ) -> None:
        self._kv_pool, self._slots, self._device = kv_pool, slots, device
        self._sizes, self._padded = list(sizes), padded
        largest = self._sizes[-1]
        self._staged = _Inputs.over(device.staging(28 * largest, torch.uint8))
        memory = torch.empty(28 * largest, dtype=torch.uint8, device=device.torch_device)
        self._inputs = _Inputs.over(memory)
        self._indptr = torch.arange(largest + 1, dtype=torch.int32, device=device.torch_device)
        self._rows = torch.arange(largest, device=device.torch_device)
        self._fill(0, largest)
        self._send()
        self._graphs: dict[int, tuple[Graph, torch.Tensor]] = {}
        # The largest first: the others find room in its memory.
        for size in reversed(self._sizes):
            self._graphs[size] = self._capture(model, size)

    def of(self, model: Transformer) -> GraphedForward | None:
        """The same of another model of the same shape."""
        return capture_forward(
            model, self._kv_pool, self._slots, self._device, self._sizes, padded=self._padded
        )

    def fits(self, arrays: StepArrays) -> bool:
        """Whether each sequence has one new token, which samples, and there is a graph."""
        count = len(arrays.kv_len)
        return (
            len(arrays.input_ids) == len(arrays.logits_rows) == count
            and arrays.q_indptr[-1] == count
            and self._size_for(count) is not None
            and bool((arrays.logits_rows == np.arange(count)).all())
        )

    def run(self, arrays: StepArrays) -> torch.Tensor:
        """Hidden states [B, H], valid until the next run."""
        count = len(arrays.kv_len)
        size = self._size_for(count)
        assert size is not None
        self._slots.update(arrays)
        staged = self._staged
        for place, values in (
            (staged.input_ids, arrays.input_ids),
            (staged.kv_start, arrays.kv_start),
            (staged.positions, arrays.positions),
            (staged.out_slots, arrays.out_slots),
            (staged.kv_len, arrays.kv_len),
        ):
            place.numpy()[:count] = values
        self._fill(count, size)
        self._send()
        graph, hidden = self._graphs[size]
        graph.replay()
        return hidden[:count]

    def _size_for(self, count: int) -> int | None:
        if not self._padded:
            return count if count in self._graphs else None
        return next((size for size in self._sizes if size >= count), None)

    def _fill(self, first: int, end: int) -> None:
        """Sequences [first, end) of one token, which goes to the spare slot."""
        staged, slots = self._staged, self._slots
        staged.input_ids[first:end] = 0
        staged.kv_start[first:end] = slots.spare_row * slots.width
        staged.positions[first:end] = 0
        staged.out_slots[first:end] = slots.spare_slot
        staged.kv_len[first:end] = 1

    def _send(self) -> None:
        self._inputs.memory.copy_(self._staged.memory, non_blocking=True)

    def _capture(self, model: Transformer, size: int) -> tuple[Graph, torch.Tensor]:
        batch = self._batch(size)

        def step() -> torch.Tensor:
            meta = batch.attention
            self._slots.append(meta.kv_start + batch.positions, batch.out_slots)
            return model.forward(batch)

        step()  # compiles kernels and lets libraries make their plans
        self._device.synchronize()
        return self._device.capture(step)

    def _batch(self, size: int) -> ForwardBatch:
        inputs = self._inputs
        return ForwardBatch(
            input_ids=inputs.input_ids[:size],
            positions=inputs.positions[:size],
            out_slots=inputs.out_slots[:size],
            attention=AttentionMeta(
                q_indptr=self._indptr[: size + 1],
                kv_slots=self._slots.flat,
                kv_start=inputs.kv_start[:size],
                kv_len=inputs.kv_len[:size],
                max_q_len=1,
                max_kv_len=self._slots.width,
            ),
            logits_rows=self._rows[:size],
            kv_pool=self._kv_pool,
        )


def capture_forward(
    model: Transformer,
    kv_pool: KVPool,
    slots: DeviceSlots,
    device: Device,
    sizes: Sequence[int],
    *,
    padded: bool,
) -> GraphedForward | None:
    """Graphs of ``model``'s decode steps; None, with a warning, where they cannot be captured."""
    try:
        with torch.inference_mode():
            graphs = GraphedForward(model, kv_pool, slots, device, sizes, padded=padded)
    except RuntimeError as error:  # also when memory runs out
        logger.warning("decode steps run without CUDA graphs: %s", error)
        return None
    logger.info("CUDA graphs for %d batch sizes up to %d", len(sizes), sizes[-1])
    return graphs
