"""Runs the transformer over a batch: replayed from a recording where one fits, else called."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.forward_batch import PlacedEmbeds
from sglang.srt.model_executor.recorded_forward import RecordedForward, forward_batch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.interface import Transformer


class ForwardPass:
    """Owns what a forward pass needs besides the batch.

    ``slots`` is the slot table [rows, width] int32, written by the scheduler and read here.
    ``recorded`` serves the batches that fit it.
    """

    def __init__(
        self,
        model: Transformer,
        kv_pool: KVPool,
        slots: NDArray[np.int32],
        device: torch.device,
        recorded: RecordedForward | None = None,
    ) -> None:
        self._model = model
        self.slots = slots
        self.device = device
        self.recorded = recorded
        self._kv_pool = kv_pool

    def replace_model(self, model: Transformer) -> None:
        """Run ``model``, which has the same shape, from now on; the old one if this fails."""
        recorded = None if self.recorded is None else self.recorded.of(model)
        self._model, self.recorded = model, recorded

    def __call__(self, arrays: StepArrays, embeds: PlacedEmbeds | None = None) -> torch.Tensor:
        """Hidden states [R, H] of the rows that are wanted, valid until the next pass."""
        if self.recorded is not None and embeds is None and self.recorded.fits(arrays):
            return self.recorded.run(arrays)
        kv_slots, kv_start = self._kv_slots(arrays)
        batch = forward_batch(arrays._replace(kv_start=kv_start), kv_slots, self._kv_pool)
        batch.embeds = embeds
        return self._model.forward(batch.to(self.device))

    def _kv_slots(self, arrays: StepArrays) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """Slot lists of the sequences: the table itself, or a compact copy for a device."""
        if self.device.type == "cpu":
            return torch.from_numpy(self.slots.reshape(-1)), arrays.kv_start
        start = np.zeros(len(arrays.kv_len), dtype=np.int64)
        np.cumsum(arrays.kv_len[:-1], out=start[1:])
        rows = zip(arrays.table_rows, arrays.kv_len, strict=True)
        return torch.from_numpy(np.concatenate([self.slots[row, :n] for row, n in rows])), start
