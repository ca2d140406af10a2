"""Runs the transformer over a batch: replayed where a recording or a graph fits, else called."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.device_slots import DeviceSlots
from sglang.srt.model_executor.forward_batch import PlacedEmbeds
from sglang.srt.model_executor.recorded_forward import forward_batch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.interface import Transformer


class Replay(Protocol):
    """Forward passes that were noted once: ``RecordedForward`` on a CPU, ``GraphedForward``."""

    def of(self, model: Transformer) -> Replay | None:
        """The same of another model of the same shape."""
        ...

    def fits(self, arrays: StepArrays) -> bool:
        """Whether a batch can be run."""
        ...

    def run(self, arrays: StepArrays) -> torch.Tensor:
        """Hidden states [R, H], valid until the next run."""
        ...


class ForwardPass:
    """Owns what a forward pass needs besides the batch.

    ``slots`` is the slot table [rows, width] int32, written by the scheduler and read here.
    ``device_slots`` is its copy on any other device than a CPU. ``replay`` serves the batches
    that fit it.
    """

    def __init__(
        self,
        model: Transformer,
        kv_pool: KVPool,
        slots: NDArray[np.int32],
        device: torch.device,
        replay: Replay | None = None,
        device_slots: DeviceSlots | None = None,
    ) -> None:
        self._model = model
        self.slots = slots
        self.device = device
        self.replay = replay
        self._device_slots = device_slots
        self._kv_pool = kv_pool

    def replace_model(self, model: Transformer) -> None:
        """Run ``model``, which has the same shape, from now on; the old one if this fails."""
        replay = None if self.replay is None else self.replay.of(model)
        self._model, self.replay = model, replay

    def __call__(self, arrays: StepArrays, embeds: PlacedEmbeds | None = None) -> torch.Tensor:
        """Hidden states [R, H] of the rows that are wanted, valid until the next pass."""
        if self.replay is not None and embeds is None and self.replay.fits(arrays):
            return self.replay.run(arrays)
        slots = self._device_slots
        if slots is None:
            batch = forward_batch(arrays, torch.from_numpy(self.slots.reshape(-1)), self._kv_pool)
            batch.embeds = embeds
            return self._model.forward(batch)
        slots.update(arrays)
        batch = forward_batch(arrays, slots.flat, self._kv_pool)
        batch.embeds = embeds
        batch = batch.to(self.device)
        starts = np.repeat(arrays.kv_start, np.diff(arrays.q_indptr))
        places = torch.from_numpy(starts + arrays.positions)
        slots.append(places.to(self.device), batch.out_slots)
        return self._model.forward(batch)
