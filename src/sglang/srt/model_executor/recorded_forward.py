"""The forward pass on a CPU as one call: recorded at start-up, replayed every step."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sglang.srt.kernels.cpu.kernels import CpuKernels
from sglang.srt.kernels.cpu.recording import Counts, NotRecordable
from sglang.srt.mem_cache.kv_pool import KVPool
from sglang.srt.model_executor.forward_batch import AttentionMeta, ForwardBatch
from sglang.srt.model_executor.step_arrays import StepArrays
from sglang.srt.models.interface import Transformer

logger = logging.getLogger(__name__)


class RecordedForward:
    """A recording of ``model.forward`` with its inputs.

    Serves batches of up to ``max_tokens`` new tokens of up to ``max_sequences`` sequences over the
    slot table ``slots`` [rows, width] int32. Raises NotRecordable, see ``CpuKernels.record``.
    """

    def __init__(
        self,
        model: Transformer,
        kernels: CpuKernels,
        kv_pool: KVPool,
        slots: NDArray[np.int32],
        *,
        max_tokens: int,
        max_sequences: int,
    ) -> None:
        self._kernels, self._kv_pool, self._slots = kernels, kv_pool, slots
        self._limits = max_tokens, max_sequences
        # More than any batch needs, so that the three counts differ.
        counts = Counts(
            max_tokens + max_sequences + 2, max_tokens + max_sequences + 1, max_sequences
        )
        self._counts = counts
        self._inputs = StepArrays(
            input_ids=np.zeros(counts.tokens, dtype=np.int64),
            positions=np.zeros(counts.tokens, dtype=np.int32),
            out_slots=np.zeros(counts.tokens, dtype=np.int32),
            q_indptr=np.zeros(counts.sequences + 1, dtype=np.int32),
            table_rows=np.zeros(counts.sequences, dtype=np.int64),
            kv_start=np.zeros(counts.sequences, dtype=np.int64),
            kv_len=np.zeros(counts.sequences, dtype=np.int32),
            logits_rows=np.zeros(counts.logits_rows, dtype=np.int64),
        )
        flat = torch.from_numpy(slots.reshape(-1))
        self._batch = forward_batch(self._inputs, flat, kv_pool)
        self._recording = kernels.record(lambda: model.forward(self._batch), counts)

    def of(self, model: Transformer) -> RecordedForward | None:
        """The same recording of another model of the same shape, see :func:`record_forward`."""
        max_tokens, max_sequences = self._limits
        return record_forward(
            model,
            self._kernels,
            self._kv_pool,
            self._slots,
            max_tokens=max_tokens,
            max_sequences=max_sequences,
        )

    def fits(self, arrays: StepArrays) -> bool:
        return (
            len(arrays.input_ids) <= self._counts.tokens
            and len(arrays.logits_rows) <= self._counts.logits_rows
            and len(arrays.kv_len) <= self._counts.sequences
        )

    def run(self, arrays: StepArrays) -> torch.Tensor:
        """Hidden states [R, H], valid until the next run."""
        pairs: zip[tuple[NDArray[Any], NDArray[Any]]] = zip(self._inputs, arrays, strict=True)
        for place, values in pairs:
            place[: len(values)] = values
        return self._recording.run(
            Counts(len(arrays.input_ids), len(arrays.logits_rows), len(arrays.kv_len))
        )


def forward_batch(arrays: StepArrays, kv_slots: torch.Tensor, kv_pool: KVPool) -> ForwardBatch:
    """The arrays as CPU tensors, without copies."""
    return ForwardBatch(
        input_ids=torch.from_numpy(arrays.input_ids),
        positions=torch.from_numpy(arrays.positions),
        out_slots=torch.from_numpy(arrays.out_slots),
        attention=AttentionMeta(
            q_indptr=torch.from_numpy(arrays.q_indptr),
            kv_slots=kv_slots,
            kv_start=torch.from_numpy(arrays.kv_start),
            kv_len=torch.from_numpy(arrays.kv_len),
            max_q_len=int(np.diff(arrays.q_indptr).max()),
            max_kv_len=int(arrays.kv_len.max()),
        ),
        logits_rows=torch.from_numpy(arrays.logits_rows),
        kv_pool=kv_pool,
    )


def record_forward(
    model: Transformer,
    kernels: CpuKernels,
    kv_pool: KVPool,
    slots: NDArray[np.int32],
    *,
    max_tokens: int,
    max_sequences: int,
) -> RecordedForward | None:
    """A recording that was seen to give the same bits as a plain run; None if there is none."""
    try:
        with torch.inference_mode():
            recorded = RecordedForward(
                model, kernels, kv_pool, slots, max_tokens=max_tokens, max_sequences=max_sequences
            )
            same = _replay_equals_run(recorded, model, kv_pool, slots)
    except NotRecordable as error:
        logger.warning("the forward pass is not recorded: %s", error)
        return None
    if not same:
        logger.warning("the forward pass is not recorded: a replay differs from a plain run")
        return None
    return recorded


def _replay_equals_run(
    recorded: RecordedForward, model: Transformer, kv_pool: KVPool, slots: NDArray[np.int32]
) -> bool:
    """Compare on one sequence of a few tokens, in slots that nobody owns yet."""
    length = min(5, kv_pool.num_slots, slots.shape[1])
    before = slots[0, :length].copy()
    slots[0, :length] = np.arange(length)
    arrays = StepArrays(
        input_ids=np.arange(length, dtype=np.int64) % model.vocab_size,
        positions=np.arange(length, dtype=np.int32),
        out_slots=np.arange(length, dtype=np.int32),
        q_indptr=np.array([0, length], dtype=np.int32),
        table_rows=np.zeros(1, dtype=np.int64),
        kv_start=np.zeros(1, dtype=np.int64),
        kv_len=np.array([length], dtype=np.int32),
        logits_rows=np.arange(length, dtype=np.int64),
    )
    flat = torch.from_numpy(slots.reshape(-1))
    expected = model.forward(forward_batch(arrays, flat, kv_pool))
    same = torch.equal(recorded.run(arrays), expected)
    slots[0, :length] = before
    return same
